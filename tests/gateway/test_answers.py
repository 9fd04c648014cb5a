"""Answers in the making and in memory."""

import threading

from bot.gateway.answers import Answer, Head, Memory


def ended(memory: Memory, key: bytes, size: int) -> Answer:
    answer, new = memory.find_or_begin(key)
    assert new
    answer.start(Head(200, "text/plain"))
    answer.append(b"x" * size)
    answer.end()
    memory.keep(key)
    return answer


def test_each_reader_gets_every_byte_from_the_first() -> None:
    """Whenever it comes, and however the bytes were written."""
    answer = Answer()
    read: list[bytes] = []

    def reader() -> None:
        data, over = b"", False
        while not over:
            more, over = answer.read(len(data), 5.0)
            data += more
        read.append(data)

    early = threading.Thread(target=reader)
    early.start()
    for byte in range(200):
        answer.append(bytes([byte]))
    answer.end()
    early.join(5)
    reader()
    assert read == [bytes(range(200))] * 2


def test_a_waiting_call_is_told_at_once() -> None:
    """Readers that can do something meanwhile are not held; those that insist are."""
    answer = Answer()
    answer.wait()
    assert answer.head(30.0) is None
    assert answer.head(0.01, even_if_waiting=True) is None
    answer.start(Head(200, "text/plain"))
    assert answer.head(30.0) == Head(200, "text/plain")


def test_the_oldest_answers_go_when_memory_is_full() -> None:
    """Answers that are still being made stay, whatever their size; so does what fits."""
    memory = Memory(limit_bytes=100)
    open_answer, _ = memory.find_or_begin(b"open")
    open_answer.append(b"x" * 1000)
    ended(memory, b"first", 60)
    second = ended(memory, b"second", 60)
    assert memory.find_or_begin(b"first")[1]
    assert memory.find_or_begin(b"second") == (second, False)
    assert memory.find_or_begin(b"open") == (open_answer, False)


def test_answers_are_kept_for_a_while() -> None:
    """After that, the same question is a new one."""
    now = [0.0]
    memory = Memory(keep_s=600, now=lambda: now[0])
    answer = ended(memory, b"key", 1)
    now[0] = 599
    assert memory.find_or_begin(b"key") == (answer, False)
    now[0] = 601
    assert memory.find_or_begin(b"key")[1]


def test_a_broken_answer_is_not_given_again() -> None:
    """Whoever asks after it has broken starts anew."""
    memory = Memory()
    memory.find_or_begin(b"key")
    memory.forget(b"key")
    assert memory.find_or_begin(b"key")[1]
