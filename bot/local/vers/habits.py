"""What a server does where the documents of Vers leave it open: named sets of answers, each of which some source supports."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bot.core.errors import UserError

DEFAULT = "lenient"


@dataclass(frozen=True, slots=True)
class Habits:
    """One set of answers.

    Attributes:
        list_paths: where machines are listed; the others are not found.
        pause_words: what a pause may be called; another is refused with 422, as the framework does with a wrong value.
        commit_pauses: a machine stays paused after its snapshot, until somebody resumes it.
        inherits_labels: a branch begins with the labels that its parent had.
        fresh_host_keys: every clone has SSH host keys of its own.
        forwarding: sshd forwards ports.
        exec_limit_s: how long a command over the API may run; 0 for no limit.
        max_branches: how many machines one call may branch; 0 for no limit.
        max_memory_mib: the largest machine of a key, also said by whoami; 0 for no limit.
        limit_status: how a call beyond the last two is refused.
    """

    list_paths: tuple[str, ...] = ("/vm", "/vms")
    pause_words: tuple[str, ...] = ("Paused", "Sleeping")
    commit_pauses: bool = False
    inherits_labels: bool = False
    fresh_host_keys: bool = False
    forwarding: bool = True
    exec_limit_s: int = 0
    max_branches: int = 0
    max_memory_mib: int = 0
    limit_status: int = 400


PROFILES: Mapping[str, Habits] = MappingProxyType(
    {
        DEFAULT: Habits(),
        # The pages of February 2026 and the client of the guide.
        "february": Habits(
            list_paths=("/vms",), pause_words=("Paused",), commit_pauses=True, exec_limit_s=30, max_memory_mib=16384
        ),
        # The SDK of June 2026.
        "june": Habits(
            list_paths=("/vm",), pause_words=("Sleeping",), inherits_labels=True, fresh_host_keys=True,
            max_memory_mib=16384, limit_status=403,
        ),
        # The worst of each question.
        "strict": Habits(
            list_paths=("/vm",), pause_words=("Paused",), commit_pauses=True, inherits_labels=True, fresh_host_keys=True,
            forwarding=False, exec_limit_s=30, max_branches=1, max_memory_mib=8192, limit_status=429,
        ),
    }
)  # fmt: skip


def named(name: str) -> Habits:
    """
    Raises:
        UserError: there is no such profile.
    """
    if name not in PROFILES:
        raise UserError(f"there is no profile '{name}'; there are {', '.join(PROFILES)}")
    return PROFILES[name]
