"""What Vers' agent does inside a machine: commands and single files, as root, without SSH."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

from bot.core.errors import NotFound
from bot.local.vers.execs import Command, Exec
from bot.local.vers.guest import PATH
from bot.local.vers.line import LabError, LabLine
from bot.local.vers.machine import Machine, State, parse_environment

_ENOENT, _ENOTDIR = 2, 20


class AgentUnreachable(Exception):
    """The agent does not answer: the machine is not running."""


class Inside:
    """Commands and files of machines that run."""

    def __init__(self, line: LabLine) -> None:
        self._line = line

    def execute(self, machine: Machine, command: Command) -> Exec:
        """Start a command. Its environment is /etc/environment plus what the command brings.

        Raises:
            AgentUnreachable: the machine is paused or dead.
        """
        _require_running(machine)
        execution = Exec(command.exec_id, machine.folder / "exec.log")
        environment = {"PATH": PATH, **self._environment(machine), **command.env}

        def run(descriptors: tuple[int, int, int]) -> dict[str, Any]:
            reply, _ = self._line.request(
                "exec",
                (machine.pidfd, *descriptors),
                id=machine.id,
                run=self._line.run,
                command=command.argv,
                env=environment,
                working_dir=command.working_dir,
                timeout_secs=command.timeout_secs,
            )
            return reply

        execution.start(run, command.stdin)
        machine.execs[command.exec_id] = execution
        return execution

    def attach(
        self, machine: Machine, exec_id: str, cursor: int | None, *, from_latest: bool
    ) -> Iterator[dict[str, Any]]:
        """The frames of a command that was started earlier.

        Raises:
            NotFound: no such command on this machine.
        """
        execution = machine.execs.get(exec_id)
        if execution is None:
            raise NotFound("exec not found")
        return execution.frames(cursor, from_latest=from_latest)

    def read_file(self, machine: Machine, path: str) -> bytes:
        """One regular file; links resolve inside the machine.

        Raises:
            NotFound: no such file.
            AgentUnreachable: the machine is paused or dead.
            LabError: it is not a regular file.
        """
        _require_running(machine)
        try:
            _, descriptors = self._line.request("open", (machine.pidfd,), path=path)
        except LabError as error:
            if error.errno in {_ENOENT, _ENOTDIR}:
                raise NotFound(f"file not found: {path}") from error
            raise
        with os.fdopen(descriptors[0], "rb") as file:
            return file.read()

    def write_file(
        self, machine: Machine, path: str, content: bytes, *, mode: int, create_dirs: bool
    ) -> None:
        """Write a file as root. Raises as `read_file`."""
        _require_running(machine)
        source = os.memfd_create("content")
        try:
            with os.fdopen(source, "wb", closefd=False) as file:
                file.write(content)
            os.lseek(source, 0, os.SEEK_SET)
            self._line.request(
                "write", (machine.pidfd, source), path=path, mode=mode, create_dirs=create_dirs
            )
        except LabError as error:
            if error.errno in {_ENOENT, _ENOTDIR}:
                raise NotFound(f"no such folder: {path}") from error
            raise
        finally:
            os.close(source)

    def _environment(self, machine: Machine) -> dict[str, str]:
        try:
            return parse_environment(self.read_file(machine, "/etc/environment").decode("utf-8", "replace"))
        except (NotFound, LabError):
            return {}


def new_exec_id() -> str:
    """For a command whose caller brought none."""
    return str(uuid.uuid4())


def _require_running(machine: Machine) -> None:
    if machine.state is not State.RUNNING:
        raise AgentUnreachable(f"vm is {machine.state.value}")
