"""Commands, streams, logs and files through the API's agent."""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.local.vers.conftest import Api
from tests.waiting import wait_until

pytestmark = pytest.mark.machines


def frames(api: Api, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The frames of a stream as they come."""
    with api.http.stream("POST", path, json=body) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            yield json.loads(line)


def text(chunks: list[dict[str, Any]]) -> str:
    return b"".join(base64.b64decode(c["data_b64"]) for c in chunks if c["type"] == "chunk").decode()


def test_a_command_is_an_argument_vector(api: Api, shared: str) -> None:
    """No shell, no expansion; status, both outputs and stdin arrive whole; a failing command is still 200."""
    body = {"command": ["printf", "%s|", "$HOME", "a b", "é"]}
    assert api.http.post(f"/vm/{shared}/exec", json=body).json()["stdout"] == "$HOME|a b|é|"
    answer = api.run(shared, "cat; echo bad >&2; exit 3", stdin="x" * 100_000)
    assert (answer["exit_code"], len(answer["stdout"]), answer["stderr"]) == (3, 100_000, "bad\n")
    assert api.run(shared, "kill -9 $$")["exit_code"] == 137
    assert api.run(shared, "printf '\\377'")["stdout"] == "\N{REPLACEMENT CHARACTER}"


def test_environment_and_folder(api: Api, shared: str) -> None:
    """The base is /etc/environment, on top what the request brings; no login shell has run."""
    answer = api.run(shared, "pwd; echo $SSL_CERT_FILE $X ${HOME:-none}", env={"X": "1"}, working_dir="/srv")
    assert answer["stdout"] == "/srv\n/etc/ssl/certs/ca-certificates.crt 1 none\n"


def test_account_variables_reach_fresh_machines_only(api: Api, machine: str) -> None:
    """They are written at the boot of a new_root machine: for commands and for SSH sessions; clones keep the image's."""
    assert api.http.put("/env_vars", json={"vars": {"TEAM": "blue green", "B": "1"}}).status_code == 200
    assert api.http.delete("/env_vars/B").status_code == 204
    vm = api.new_root()
    assert api.out(vm, "echo $TEAM$B") == "blue green\n"
    assert api.ssh(vm, "echo $TEAM; echo $PATH").stdout.startswith(b"blue green\n/usr/local/sbin:")
    assert api.out(machine, "echo $TEAM") == "\n"
    assert api.http.put("/env_vars", json={"vars": {}, "replace": True}).json() == {"vars": {}}
    assert api.http.get("/env_vars").json() == {"vars": {}}
    api.delete(vm)


def test_output_is_streamed(api: Api, shared: str) -> None:
    """Chunks arrive while the command runs; the last frame is the exit."""
    api.out(shared, "rm -f /tmp/go; mkfifo /tmp/go")
    script = "echo one; read x < /tmp/go; echo two >&2; exit 5"
    seen: list[dict[str, Any]] = []
    for frame in frames(api, f"/vm/{shared}/exec/stream", {"command": ["sh", "-c", script]}):
        seen.append(frame)
        if len(seen) == 1:
            api.out(shared, "echo > /tmp/go")
    assert [(f["type"], f.get("stream")) for f in seen] == [
        ("chunk", "stdout"),
        ("chunk", "stderr"),
        ("exit", None),
    ]
    assert [f["cursor"] for f in seen] == [1, 2, 3]
    assert len({f["exec_id"] for f in seen}) == 1
    assert seen[-1]["exit_code"] == 5


def test_attach_goes_on_where_a_lost_stream_ended(api: Api, shared: str) -> None:
    """The command survives its reader; a cursor is exclusive; without one the backlog is replayed, even after the end."""
    api.out(shared, "rm -f /tmp/go; mkfifo /tmp/go")
    exec_id = str(uuid.uuid4())
    body = {"command": ["sh", "-c", "echo one; read x < /tmp/go; echo two"], "exec_id": exec_id}
    stream = frames(api, f"/vm/{shared}/exec/stream", body)
    first = next(stream)
    stream.close()  # the line drops
    api.out(shared, "echo > /tmp/go")
    attach = f"/vm/{shared}/exec/stream/attach"
    rest = list(frames(api, attach, {"exec_id": exec_id, "cursor": first["cursor"]}))
    assert text(rest) == "two\n"
    assert rest[-1]["type"] == "exit"
    assert text(list(frames(api, attach, {"exec_id": exec_id}))) == "one\ntwo\n"
    latest = list(frames(api, attach, {"exec_id": exec_id, "cursor": 1, "from_latest": True}))
    assert [f["type"] for f in latest] == ["exit"]


def test_several_readers_follow_one_command(api: Api, shared: str) -> None:
    """Each attach gets every frame."""
    api.out(shared, "rm -f /tmp/go; mkfifo /tmp/go")
    exec_id = str(uuid.uuid4())
    stream = frames(
        api,
        f"/vm/{shared}/exec/stream",
        {"command": ["sh", "-c", "echo one; read x < /tmp/go; seq 1000"], "exec_id": exec_id},
    )
    next(stream)
    results: list[str] = []

    def follow() -> None:
        results.append(text(list(frames(api, f"/vm/{shared}/exec/stream/attach", {"exec_id": exec_id}))))

    readers = [threading.Thread(target=follow) for _ in range(3)]
    for reader in readers:
        reader.start()
    api.out(shared, "echo > /tmp/go")
    for reader in readers:
        reader.join(20)
    expected = "one\n" + "".join(f"{n}\n" for n in range(1, 1001))
    assert results == [expected] * 3


def test_a_failed_start_ends_the_stream_with_an_error(api: Api, shared: str) -> None:
    """And so does a timeout."""
    path = f"/vm/{shared}/exec/stream"
    (spawn,) = frames(api, path, {"command": ["no-such-program"]})
    assert (spawn["type"], spawn["code"]) == ("error", "spawn_failed")
    *_, late = frames(api, path, {"command": ["sh", "-c", "echo x; sleep 60"], "timeout_secs": 1})
    assert (late["type"], late["code"]) == ("error", "timeout")


def test_logs_page_by_byte_offset(api: Api, machine: str) -> None:
    """All output of commands in order, page by page, filtered by stream."""
    for word in ("one", "two", "three"):
        api.out(machine, f"echo {word}; echo {word} >&2")
    offset, entries = 0, []
    while True:
        page = api.http.get(f"/vm/{machine}/logs", params={"offset": offset, "max_entries": 2}).json()
        entries += page["entries"]
        offset = page["next_offset"]
        if page["eof"]:
            break
    assert len(entries) == 6
    assert set(entries[0]) == {"timestamp", "stream", "data_b64", "exec_id"}
    errors = api.http.get(f"/vm/{machine}/logs", params={"stream": "stderr"}).json()["entries"]
    assert text([{"type": "chunk", **entry} for entry in errors]) == "one\ntwo\nthree\n"


def test_files(api: Api, shared: str) -> None:
    """Bytes and mode arrive; folders are made on demand; links resolve inside the machine."""
    content = bytes(range(256)) * 4096
    written = api.write(shared, "/srv/f", content)
    assert written.status_code == 200, written.text
    assert api.read(shared, "/srv/f") == content
    assert api.out(shared, "stat -c %a /srv/f") == "644\n"
    assert api.write(shared, "/srv/a/b/f", b"x", mode=0o755).status_code == 404
    assert api.write(shared, "/srv/a/b/f", b"x", mode=0o755, create_dirs=True).status_code == 200
    assert api.out(shared, "stat -c '%a %U' /srv/a/b/f") == "755 root\n"
    api.out(shared, "ln -s /etc/hostname /srv/link; ln -s /proc/1/environ /srv/environ")
    assert api.read(shared, "/srv/link") == api.out(shared, "cat /etc/hostname").encode()
    api.write(shared, "/srv/f", b"short")
    assert api.read(shared, "/srv/f") == b"short"


def test_a_pipe_does_not_hang_the_agent(api: Api, shared: str) -> None:
    """A FIFO is no file to read or write."""
    api.out(shared, "mkfifo /srv/fifo")
    assert api.http.get(f"/vm/{shared}/files", params={"path": "/srv/fifo"}, timeout=5).status_code == 500
    assert api.write(shared, "/srv/fifo", b"x").status_code == 500


def test_a_paused_machine_has_no_agent(api: Api, machine: str) -> None:
    """Commands and files fail while it is paused, and come back."""
    api.set_state(machine, "Paused")
    answer = api.http.post(f"/vm/{machine}/exec", json={"command": ["true"]})
    assert answer.status_code == 500
    api.set_state(machine, "Running")
    assert api.out(machine, "echo back") == "back\n"


def test_deleting_a_machine_ends_its_commands(api: Api, image: str) -> None:
    """A stream that was open ends instead of hanging."""
    vm = api.branch(image)[0]
    stream = frames(api, f"/vm/{vm}/exec/stream", {"command": ["sh", "-c", "echo up; sleep 100"]})
    assert next(stream)["type"] == "chunk"
    api.delete(vm)
    ended: list[str] = []
    reader = threading.Thread(target=lambda: ended.extend(frame["type"] for frame in stream))
    reader.start()
    wait_until(lambda: ended, 10, "the stream has ended")
    reader.join(5)
    with pytest.raises(httpx.HTTPStatusError):
        api.http.get(f"/vm/{vm}/status").raise_for_status()
