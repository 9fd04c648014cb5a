"""Routes into a machine without SSH: commands, their streams and log, single files."""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request
from pydantic import Field

from bot.local.vers.api_vms import machine_of
from bot.local.vers.execs import Command, Exec, read_log
from bot.local.vers.inside import new_exec_id
from bot.local.vers.wire import Body, answer, body, empty, failure, number
from bot.local.vers.world import world

routes = Blueprint("inside", __name__)

_MAX_LOG_ENTRIES = 1000


class ExecRequest(Body):
    """`command` is an argument vector, no shell line."""

    command: list[str]
    env: dict[str, str] | None = None
    working_dir: str | None = None
    stdin: str | None = None
    timeout_secs: int | None = Field(default=None, ge=0)
    exec_id: UUID | None = None


class AttachRequest(Body):
    exec_id: UUID
    cursor: int | None = Field(default=None, ge=0)
    from_latest: bool | None = None


class NewFile(Body):
    path: str
    content_b64: str
    mode: int | None = Field(default=None, ge=0, le=0o7777)
    create_dirs: bool | None = None


def _started(vm_id: str) -> Exec | Response:
    machine, wanted = machine_of(vm_id), body(ExecRequest)
    if not wanted.command:
        return failure(400, "command must not be empty")
    return world().inside.execute(
        machine,
        Command(
            argv=tuple(wanted.command),
            env=wanted.env or {},
            working_dir=wanted.working_dir or "/",
            stdin=(wanted.stdin or "").encode(),
            timeout_secs=_limited(wanted.timeout_secs or 0),
            exec_id=str(wanted.exec_id) if wanted.exec_id else new_exec_id(),
        ),
    )


def _limited(timeout_s: int) -> int:
    """By the server's habit; 0 is no limit."""
    most = world().habits.exec_limit_s
    return min(timeout_s or most, most) if most else timeout_s


@routes.post("/vm/<vm_id>/exec")
def execute(vm_id: str) -> Response:
    started = _started(vm_id)
    if isinstance(started, Response):
        return started
    output = {"stdout": bytearray(), "stderr": bytearray()}
    for frame in started.frames(None):
        if frame["type"] == "chunk":
            output[frame["stream"]] += base64.b64decode(frame["data_b64"])
        elif frame["type"] == "error":
            return failure(500, frame["message"])
        else:
            texts = {name: data.decode("utf-8", "replace") for name, data in output.items()}
            return answer({"exit_code": frame["exit_code"], **texts, "exec_id": started.exec_id})
    return failure(500, "the command's output was lost")


@routes.post("/vm/<vm_id>/exec/stream")
def stream(vm_id: str) -> Response:
    started = _started(vm_id)
    return started if isinstance(started, Response) else _ndjson(started.frames(None))


@routes.post("/vm/<vm_id>/exec/stream/attach")
def attach(vm_id: str) -> Response:
    machine, wanted = machine_of(vm_id), body(AttachRequest)
    frames = world().inside.attach(
        machine, str(wanted.exec_id), wanted.cursor, from_latest=bool(wanted.from_latest)
    )
    return _ndjson(frames)


def _ndjson(frames: Iterator[dict[str, Any]]) -> Response:
    lines = (json.dumps(frame).encode() + b"\n" for frame in frames)
    return Response(lines, content_type="application/x-ndjson")


@routes.get("/vm/<vm_id>/logs")
def logs(vm_id: str) -> Response:
    machine = machine_of(vm_id)
    wanted = min(number("max_entries", _MAX_LOG_ENTRIES), _MAX_LOG_ENTRIES)
    stream_name = request.args.get("stream")
    if stream_name not in {None, "stdout", "stderr"}:
        return failure(400, "stream must be stdout or stderr")
    return answer(read_log(machine.folder / "exec.log", number("offset", 0), wanted, stream_name))


@routes.get("/vm/<vm_id>/files")
def read_file(vm_id: str) -> Response:
    machine, path = machine_of(vm_id), request.args.get("path", "")
    if not path.startswith("/"):
        return failure(400, "path must be absolute")
    content = world().inside.read_file(machine, path)
    return answer({"content_b64": base64.b64encode(content).decode()})


@routes.put("/vm/<vm_id>/files")
def write_file(vm_id: str) -> Response:
    machine, wanted = machine_of(vm_id), body(NewFile)
    if not wanted.path.startswith("/"):
        return failure(400, "path must be absolute")
    try:
        content = base64.b64decode(wanted.content_b64, validate=True)
    except binascii.Error as error:
        return failure(400, f"content_b64: {error}")
    mode = 0o644 if wanted.mode is None else wanted.mode
    world().inside.write_file(machine, wanted.path, content, mode=mode, create_dirs=bool(wanted.create_dirs))
    return empty()
