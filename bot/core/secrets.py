"""What a secret looks like: a short table of shapes that are never anything else."""

import re

SHAPES: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("a private key", rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("an Anthropic key", rb"sk-ant-[A-Za-z0-9_-]{20,}"),
        ("an OpenAI key", rb"\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"),
        # gh?_ tokens have no fixed length; the newer ones contain dots and dashes
        ("a GitHub token", rb"\b(?:gh[pousr]_[A-Za-z0-9._-]{36,}|github_pat_[A-Za-z0-9_]{22,})"),
        ("an AWS key", rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
        ("a Google API key", rb"\bAIza[A-Za-z0-9_-]{35}\b"),
        ("a Slack token", rb"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
        ("a Stripe key", rb"\b[sr]k_live_[A-Za-z0-9]{20,}"),
        ("an npm token", rb"\bnpm_[A-Za-z0-9]{36}\b|:_authToken=[^$\s{]"),
    )
)
"""Kind in words -> pattern."""


def secret_in(content: bytes) -> str:
    """The kind of secret that the content seems to hold, in words; empty if none."""
    return next((kind for kind, pattern in SHAPES if pattern.search(content)), "")
