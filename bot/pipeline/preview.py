"""The evidence: the collected files, started once more on a clean machine and probed as a visitor would."""

import io
import json
import logging
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import httpx

from bot.core.errors import Permanent
from bot.core.models import AppKind, Artifact, Evidence, OwnTests
from bot.core.plan import AppSetup
from bot.patience import Look, watched
from bot.vms.base import Dial, Provider, Shell

log = logging.getLogger(__name__)

WORKSPACE = "/root/workspace"
TOOLS = "/opt/swarm/preview"
PORT, BRIDGE_PORT = 3000, 8080
"""Both are ports that Vers is known to route."""
_ANSWER_LIMIT_S, _REDIRECTS = 10.0, 5
INSTALL_LIMIT_S, CHECK_LIMIT_S, TEST_LIMIT_S, BRIDGE_LIMIT_S, PROBE_LIMIT_S = 600.0, 600.0, 300.0, 15.0, 30.0


@dataclass(frozen=True, slots=True)
class PreviewTools:
    """The two programs that run inside the machine, as text of `templates/vm/preview/`."""

    app_py: str
    bridge_js: str


class Preview:
    """One clean machine with the collected files on it.

    The machine is the caller's: branched from the golden image, recorded, and deleted by them.
    """

    def __init__(
        self,
        shell: Shell,
        provider: Provider,
        *,
        registry: Dial,
        tools: PreviewTools,
        start_limit_s: float,
        probe_limit_s: float = PROBE_LIMIT_S,
        now: Callable[[], str],
        check_cancelled: Callable[[], None],
        folder: str = "",
        setup: AppSetup | None = None,
    ) -> None:
        """`folder`, below the workspace, is where the app lies and is installed, tested and started."""
        self._shell = shell
        self._app = f"{WORKSPACE}/{folder}".rstrip("/")
        self._provider = provider
        self._registry = registry
        self._tools = tools
        self._start_limit_s = start_limit_s
        self._probe_limit_s = probe_limit_s
        self._now = now
        self._check_cancelled = check_cancelled
        self._setup = setup or AppSetup()

    def show(self, files: Sequence[Artifact], kind: AppKind, check: str) -> Evidence:
        """Install, start and probe; or, for kind "none", run the check command.

        An app that does not start is evidence, too (`ok` False with the problem and the log), not an error.

        Raises:
            Transient: the line to the machine broke; the step is tried again on another machine.
            Cancelled: the build was asked to stop.
        """
        self._place(files)
        blank = Evidence(kind=kind, ok=False, vm=self._shell.vm, probed_at=self._now())
        installed = self._do(
            "install",
            INSTALL_LIMIT_S + 30,
            workspace=self._app,
            command=self._setup.install,
            env=dict(self._setup.env),
        )
        blank = replace(blank, install_seconds=installed["seconds"])
        if installed["exit_status"] != 0:
            problem = f"the dependencies did not install (exit status {installed['exit_status']})"
            return replace(blank, problem=problem, output=installed["output"])
        self._check_cancelled()
        if kind is AppKind.NONE:
            return self._run_check(blank, check)
        blank = replace(blank, tests=self._test())
        self._check_cancelled()
        return self._serve(blank)

    def _place(self, files: Sequence[Artifact]) -> None:
        programs = (
            Artifact("app.py", self._tools.app_py.encode()),
            Artifact("bridge.js", self._tools.bridge_js.encode()),
        )
        self._shell.forward(8898, self._registry)
        self._shell.write_tree(TOOLS, tar_of(programs))
        self._shell.write_tree(WORKSPACE, tar_of(files), owner="agent")

    def _do(self, action: str, timeout_s: float, **arguments: Any) -> dict[str, Any]:
        done = self._shell.run(
            f"python3 {TOOLS}/app.py {action}", stdin=json.dumps(arguments).encode(), timeout_s=timeout_s
        )
        answer = json.loads(done.text)
        if not isinstance(answer, dict):
            raise Permanent(f"{action} on the clean machine answered {done.text[:200]!r}")
        return answer

    def _test(self) -> OwnTests | None:
        ran = self._do(
            "test",
            TEST_LIMIT_S + 30,
            workspace=self._app,
            command=self._setup.test,
            env=dict(self._setup.env),
            limit_s=TEST_LIMIT_S,
        )
        if not ran["command"]:
            return None
        return OwnTests(ran["command"], ran["exit_status"], ran["output"], round(ran["seconds"], 1))

    def _run_check(self, blank: Evidence, check: str) -> Evidence:
        ran = self._do(
            "check",
            CHECK_LIMIT_S + 30,
            workspace=self._app,
            command=check,
            env=dict(self._setup.env),
            limit_s=CHECK_LIMIT_S,
        )
        status = ran["exit_status"]
        return replace(
            blank,
            ok=status == 0,
            command=check,
            exit_status=status,
            output=ran["output"],
            start_seconds=ran["seconds"],
            problem="" if status == 0 else f"the check command ended with exit status {status}",
        )

    def _serve(self, blank: Evidence) -> Evidence:
        limit_s, port = self._start_limit_s, self._setup.port or PORT
        started = self._do(
            "start",
            limit_s + 30,
            workspace=self._app,
            kind=str(blank.kind),
            port=port,
            limit_s=limit_s,
            command=self._setup.start,
            env=dict(self._setup.env),
        )
        evidence = replace(blank, start_seconds=started["seconds"], output=started["output"])
        ipv4 = started["listens"] == "ipv4"
        if ipv4 or (started["listens"] and port not in (PORT, BRIDGE_PORT)):
            bridge = BRIDGE_PORT if port != BRIDGE_PORT else PORT
            bridged = self._do(
                "bridge", BRIDGE_LIMIT_S + 30, port=port, bridge_port=bridge, limit_s=BRIDGE_LIMIT_S
            )
            evidence, port = replace(evidence, bridged=ipv4), bridge
            started = {**started, "problem": bridged["problem"]}
        if started["problem"]:
            return replace(evidence, problem=started["problem"])
        return self._probe(evidence, self._provider.public_url(self._shell.vm, port))

    def _probe(self, evidence: Evidence, url: str) -> Evidence:
        status, problem = visit(url, self._check_cancelled, self._probe_limit_s)
        evidence = replace(
            evidence, url=url, status=status, problem=problem, ok=not problem, probed_at=self._now()
        )
        return (
            evidence
            if evidence.ok
            else replace(evidence, output=self._do("log", 30)["output"] or evidence.output)
        )


def visit(url: str, check_cancelled: Look, limit_s: float = PROBE_LIMIT_S) -> tuple[int, str]:
    """(status, problem) of an address as a visitor sees it; asked again until it answers below 400 or `limit_s` passed.

    Redirects are followed on the same host and port only, and no body is read: the app at the other end is a
    stranger, who would choose where we go next and how long we listen.
    """
    end = time.monotonic() + limit_s
    wait = _Backoff()

    def look() -> None:
        check_cancelled()
        if time.monotonic() > end + _ANSWER_LIMIT_S:
            raise _TooLongError

    while True:
        try:
            status = watched(lambda: _status(url), look)
            problem = "" if status < 400 else f"{url} answered with status {status}"
        except httpx.HTTPError as error:
            status, problem = 0, f"{url} did not answer: {type(error).__name__}: {error}"
        except _TooLongError:
            return 0, f"{url} did not answer within {limit_s:g} s"
        if not problem or time.monotonic() > end:
            return status, problem
        wait()


class _TooLongError(Exception):
    """An answer that drips in for ever."""


def _status(url: str) -> int:
    with httpx.Client(follow_redirects=False, timeout=_ANSWER_LIMIT_S) as client:
        request = client.build_request("GET", url)
        for _ in range(_REDIRECTS):
            answer = client.send(request, stream=True)
            answer.close()
            following = answer.next_request
            if following is None or following.url.netloc != request.url.netloc:
                break
            request = following
        return answer.status_code


class _Backoff:
    """Waits 50 ms, then twice as long each time, up to a second."""

    def __init__(self) -> None:
        self._wait_s = 0.05

    def __call__(self) -> None:
        time.sleep(self._wait_s)
        self._wait_s = min(1.0, self._wait_s * 2)


def tar_of(files: Sequence[Artifact]) -> bytes:
    """A tar of files with their modes, in memory; folders are implied."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        made: set[PurePosixPath] = set()
        for each in files:
            for folder in reversed(PurePosixPath(each.path).parents[:-1]):
                if folder not in made:
                    made.add(folder)
                    entry = tarfile.TarInfo(str(folder))
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            entry = tarfile.TarInfo(each.path)
            entry.size, entry.mode = len(each.content), each.mode & 0o777
            archive.addfile(entry, io.BytesIO(each.content))
    return buffer.getvalue()
