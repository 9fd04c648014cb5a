"""Workers' files into the workspace of whoever asked for them, not through a model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bot.agents import collect
from bot.agents.home import Home
from bot.agents.lines import WORKSPACE
from bot.agents.machines import Machines
from bot.agents.roster import Roster
from bot.core.artifacts import Inspection, exclude_patterns, inspect
from bot.core.errors import BotError, Cancelled, Permanent
from bot.core.models import AgentLabel, AgentState
from bot.core.tree import Start, blob_sha


class Gather:
    """Reads workspaces in parallel, merges them by the artifact rules, writes the result."""

    def __init__(self, *, roster: Roster, machines: Machines, start: Callable[[], Start]) -> None:
        """`start` is what lay in every workspace before."""
        self._roster = roster
        self._machines = machines
        self._start = start

    def __call__(
        self,
        labels: Sequence[AgentLabel],
        home: Home,
        *,
        paths: Sequence[str] = (),
        destination: str = "",
        prefer: AgentLabel | None = None,
    ) -> str:
        """Copy and say what came from whom. `paths` and `destination` are relative to the workspaces.

        Raises:
            BotError: the home cannot be written to.
        """
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="collect") as pool:
            results = list(pool.map(self._workspace, labels))
        found = [
            (label, got) for label, got in zip(labels, results, strict=True) if isinstance(got, Inspection)
        ]
        troubles = [got for got in results if isinstance(got, str)]
        merged = collect.merge(found, paths=paths, destination=destination, prefer=prefer)
        if merged.files:
            home.put(merged.files)
            self._roster.brought(
                {
                    label: {path: blob_sha(merged.files[path].content) for path in theirs}
                    for label, theirs in merged.by_worker.items()
                }
            )
        troubles += [
            f"{view.label} is still {view.state}: it may change its files."
            for view in self._roster.views(labels)
            if view.state in (AgentState.WORKING, AgentState.STALLED)
        ]
        return collect.report(merged, destination, troubles, home.where)

    def _workspace(self, label: AgentLabel) -> Inspection | str:
        vm = self._roster.view(label).vm
        try:
            if vm is None:
                raise Permanent("it has no machine")
            tar = self._machines.shell(vm).read_tree(WORKSPACE, exclude=exclude_patterns())
            return inspect(tar, base=self._start().listing)
        except Cancelled:
            raise
        except BotError as error:
            return f"{label} could not be read: {error}"
