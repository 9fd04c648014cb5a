"""The rate limit of one key, with a clock of our own."""

from datetime import UTC, datetime

from bot.gateway.limiter import Limiter

START = 1_750_000_000.0


def headers(kind: str, remaining: int, in_s: float) -> dict[str, str]:
    reset = datetime.fromtimestamp(START + in_s, UTC).isoformat().replace("+00:00", "Z")
    return {
        f"anthropic-ratelimit-{kind}-remaining": str(remaining),
        f"anthropic-ratelimit-{kind}-reset": reset,
    }


def test_calls_are_counted_between_two_answers() -> None:
    """What the provider said remains is used up by the calls that are sent meanwhile."""
    now = [START]
    limiter = Limiter(lambda: now[0])
    assert limiter.take(100) == 0.0
    limiter.observe(headers("requests", 2, 30))
    assert [limiter.take(100) for _ in range(3)] == [0.0, 0.0, 30.0]
    now[0] += 31
    assert limiter.take(100) == 0.0


def test_a_large_call_waits_where_a_small_one_does_not() -> None:
    """Input tokens are estimated from the bytes; a call larger than the whole limit is sent after the reset."""
    now = [START]
    limiter = Limiter(lambda: now[0])
    limiter.observe(headers("input-tokens", 1000, 10))
    assert limiter.take(400_000) == 10.0
    assert limiter.take(400) == 0.0
    now[0] += 10
    assert limiter.take(400_000) == 0.0


def test_no_output_tokens_left_holds_everything() -> None:
    """Each kind of limit counts for itself; the longest wait wins."""
    limiter = Limiter(lambda: START)
    limiter.observe({**headers("output-tokens", 0, 5), **headers("requests", 0, 7)})
    assert limiter.take(0) == 7.0


def test_retry_after_holds_and_is_not_shortened() -> None:
    """A second, shorter one does not end the first."""
    now = [START]
    limiter = Limiter(lambda: now[0])
    limiter.hold(20)
    limiter.hold(5)
    assert limiter.take(0) == 20.0
    now[0] += 20
    assert limiter.take(0) == 0.0


def test_headers_that_are_not_of_the_documented_form_are_passed_over() -> None:
    """They hold nobody; neither does a date in the far future for long."""
    limiter = Limiter(lambda: START)
    limiter.observe({"anthropic-ratelimit-requests-remaining": "0"})
    limiter.observe({**headers("requests", 0, 5), "anthropic-ratelimit-requests-reset": "soon"})
    assert limiter.take(0) == 0.0
    limiter.observe(headers("requests", 0, 10**7))
    assert limiter.take(0) == 300.0
