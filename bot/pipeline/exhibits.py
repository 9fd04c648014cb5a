"""What is added to a pull request after it was opened: a picture of the running app, and what the agents said and did."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bot.agents import camera
from bot.agents.swarm import Swarm
from bot.agents.transcripts import session_of
from bot.core.codec import load
from bot.core.errors import BotError, Permanent, Transient, UserError
from bot.core.models import AgentLabel, Artifact, CommitId, Evidence, Published, RunId
from bot.core.notices import ExhibitsView, TranscriptLink
from bot.core.pull_views import exhibits_marks
from bot.pipeline.clean import CleanMachine
from bot.pipeline.journal.runs import Run
from bot.pipeline.rooms import Rooms
from bot.vms.base import Shell

log = logging.getLogger(__name__)

BRANCH = "swarm/evidence"
"""Without a commit in common with the code. Pictures stay there for as long as the repository wants them."""
PURPOSE = "camera"
KEEP_S = 1800.0
"""So long nobody takes the machine for a leftover of a build that has ended."""


def keep_session(rooms: Rooms, run: RunId, agent: AgentLabel, shell: Shell) -> None:
    """Read what an agent said from its machine, while this is there. Whatever goes wrong, nothing waits for it."""
    if rooms.transcripts.wanted:
        try:
            if session := session_of(shell):
                rooms.transcripts.store(run, {agent: session}, pages=False)
        except BotError as error:
            log.warning("transcript of %s in build %s: %s", agent, run, error)


def keep_sessions(rooms: Rooms, run: RunId, swarm: Swarm) -> None:
    """The same of all agents whose machines are left."""

    def keep(agent: AgentLabel) -> None:
        try:
            keep_session(rooms, run, agent, swarm.shell_of(agent))
        except BotError as error:
            log.warning("machine of %s in build %s: %s", agent, run, error)

    with ThreadPoolExecutor(8, thread_name_prefix=f"sessions-{run}") as readers:
        list(readers.map(keep, swarm.present()))


@dataclass(frozen=True, slots=True)
class Exhibits:
    """Adds them, once per build. Whatever goes wrong is said in one line; the pull request is whole without."""

    rooms: Rooms

    def add(self, run: RunId) -> None:
        """
        Raises:
            Transient: GitHub or a machine did not answer; worth another try.
        """
        found = self.rooms.runs.get(run)
        evidence = load(Evidence, found.result["evidence"]) if "evidence" in found.result else None
        published = found.fact("published", Published)
        url = evidence.url if evidence and evidence.ok and published and self.rooms.camera else ""
        sessions = self.rooms.transcripts.sessions(run)
        if not (url or sessions):
            return
        picture, problem = b"", ""
        try:
            picture = self._on_a_machine(found, url, sessions)
        except Transient:
            raise
        except BotError as error:
            log.warning("picture of build %s: %s", run, error)
            problem = str(error)
        if published:
            self._hang(found, published, picture, problem if url else "")

    def give_up(self, run: RunId, why: str) -> None:
        """Say that there will be no picture."""
        found = self.rooms.runs.get(run)
        if "published" in found.result:
            self._hang(found, load(Published, found.result["published"]), b"", why)

    def _on_a_machine(self, run: Run, url: str, sessions: Mapping[str, bytes]) -> bytes:
        """A picture of an address, if there is one; transcripts are stored on the way."""
        golden = CommitId(run.result["golden"])
        problem: BotError | None = None
        try:
            image = self.rooms.camera.ensure(golden) if url and self.rooms.camera else golden
        except (
            UserError,
            Permanent,
        ) as error:  # then at least the transcripts, for which any machine will do
            image, problem = golden, error
        until = self.rooms.now() + KEEP_S
        machine = CleanMachine(self.rooms, run.id, image, until, PURPOSE)
        try:
            shell = machine.take()
            try:
                picture = camera.photograph(shell, url) if url and not problem else b""
            except UserError as error:
                picture, problem = b"", error
            try:
                pages = camera.transcripts(shell, sessions)
            finally:
                shell.close()
        finally:
            machine.delete()
        self.rooms.transcripts.store(run.id, pages, pages=True)
        if problem:
            raise problem
        return picture

    def _hang(self, run: Run, published: Published, picture: bytes, problem: str) -> None:
        repository = self.rooms.github.repository(run.request.repo)
        address = ""
        if picture:
            path = f"issue-{run.request.issue}/{run.id}.png"
            message = f"Picture of the preview for #{run.request.issue}\n\n[skip ci]"
            try:
                sha = repository.keep(BRANCH, Artifact(path, picture), message)
                site = published.pull_request_url.rpartition("/pull/")[0]
                address = f"{site}/blob/{sha}/{path}?raw=true"
            except Transient:
                raise
            except BotError as error:
                problem = f"it could not be kept: {error}"
        status = self.rooms.status_page(run.id)
        links = [
            TranscriptLink(agent, f"{status}/transcripts/{agent}")
            for agent in self.rooms.transcripts.pages(run.id)
        ]
        view = ExhibitsView(address, published.commit_sha[:9], problem, tuple(links))
        text = self.rooms.texts.render("github/exhibits.md.j2", view).strip()
        repository.fill_in(published.pull_request, exhibits_marks(run.id), text)
        self.rooms.runs.keep(run.id, picture=address)
