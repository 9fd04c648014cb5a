"""What the agents of a build said and did, as pi wrote it down, without secrets."""

import logging
import re
from collections.abc import Sequence

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import RegexBasedDetector
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from bot.agents.lines import STARTS
from bot.core.secrets import SHAPES
from bot.vms.base import Shell

log = logging.getLogger(__name__)

REMOVED = b"[secret removed]"
LARGEST_BYTES = 8 << 20
SHORTEST_SECRET = 8
_SESSIONS = "/home/agent/sessions"
# The newest session that is a plain file: an agent owns the folder, and may have put anything there.
_READ = f"find {_SESSIONS} -name '*.jsonl' -type f -size -{LARGEST_BYTES >> 10}k -printf '%T@ %p\\n' | sort -n | tail -n 1 | cut -d' ' -f2-"
_DETECTORS: Sequence[RegexBasedDetector] = tuple(
    kind()
    for kind in (
        AWSKeyDetector, AzureStorageKeyDetector, BasicAuthDetector, DiscordBotTokenDetector, GitHubTokenDetector,
        GitLabTokenDetector, JwtTokenDetector, MailchimpDetector, NpmDetector, OpenAIDetector, PypiTokenDetector,
        SendGridDetector, SlackDetector, SquareOAuthDetector, StripeDetector, TelegramBotTokenDetector,
        TwilioKeyDetector,
    )
)  # fmt: skip
_KEY_BLOCK = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----[^\"]{0,20000}?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?=\"))"
)


def session_of(shell: Shell) -> bytes:
    """What the agent of a machine said and did, as JSON lines without secrets; empty if there is nothing to read.

    Raises:
        BotError: the line to the machine broke.
    """
    path = shell.run(_READ, timeout_s=10.0).text.strip()
    if not path:
        return b""
    # As the agent: between finding and reading it could become a link to a file that only root may read.
    read = shell.run(f"runuser -u agent -- head -c {LARGEST_BYTES} -- '{_quoted(path)}'", timeout_s=20.0)
    bearer = shell.run(f"cat {STARTS}/bearer", timeout_s=10.0, check=False).stdout.strip()
    return scrub(read.stdout, known=[bearer])


def _quoted(path: str) -> str:
    return path.replace("'", "'\\''")


def scrub(content: bytes, known: Sequence[bytes] = ()) -> bytes:
    """The content without anything that has the shape of a secret, and without those that are `known`."""
    content = _KEY_BLOCK.sub(REMOVED, content)
    for _, shape in SHAPES:
        content = shape.sub(REMOVED, content)
    text = content.decode("utf-8", "replace")
    found = {
        match[1 if isinstance(detector, BasicAuthDetector) else 0].encode()  # of an address only the password
        for detector in _DETECTORS
        for shape in detector.denylist
        for match in shape.finditer(text)
    }
    for secret in sorted({*found, *known}, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            content = content.replace(secret, REMOVED)
    return content
