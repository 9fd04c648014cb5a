"""No secret that has a shape, or that we know, is left in a transcript."""

import json

import pytest

from bot.agents.transcripts import REMOVED, scrub

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        KEY.removesuffix("-----END OPENSSH PRIVATE KEY-----"),
        "sk-ant-api03-" + "a1B2" * 10,
        "ghs_" + "A1b2" * 10,
        "glpat-" + "A1b2C3d4E5f6G7h8I9j0",
        "AKIA" + "ABCDEFGH234567AB",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "xoxb-" + "123456789012-abcdefABCDEF",
        "SG." + "a" * 22 + "." + "b" * 43,
        "the-agents-own-bearer",
    ],
    ids=lambda secret: secret[:12],
)
def test_a_secret_is_removed(secret: str) -> None:
    """Wherever it stands in a line of JSON; what is around it stays, and it is JSON still."""
    line = json.dumps({"text": f"before {secret} after", "more": f"token={secret}"})
    scrubbed = scrub(line.encode(), known=[b"the-agents-own-bearer"])
    for part in secret.splitlines():
        if not part.startswith("-----"):
            assert part.encode() not in scrubbed
    assert REMOVED in scrubbed
    assert json.loads(scrubbed)["text"].startswith("before ")


def test_a_password_in_an_address_is_removed() -> None:
    """The address itself stays readable."""
    assert scrub(b"https://joe:hunter2hunter2@example.org/x") == b"https://joe:" + REMOVED + b"@example.org/x"


def test_ordinary_text_stays_as_it_is() -> None:
    """Code, hashes and long words are no secrets."""
    text = (
        b"const id = 'd03dee7f2a'; // sha 4b825dc642cb6eb9a060e54bf8d69288fbee4904 tokens: 12000 "
        + b"x" * 500
    )
    assert scrub(text) == text
