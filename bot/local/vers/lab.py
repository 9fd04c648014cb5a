"""The lab: one process that is pid 1 of a pid namespace with mounts and network of its own, under which all machines hang.

`python -m bot.local.vers.lab` is its launcher. When the server's end of the control socket closes, by a stop or by
SIGKILL, the lab ends, and the kernel takes every machine, mount and network link with it. The launcher stays outside,
removes the cgroups and the run's folder, and ends too. Standard library only: it forks one worker a request, and a
small interpreter forks fast.

Control socket (SOCK_SEQPACKET): the lab says "ok" or why not; then each message carries one end of a stream socket, on
which the request follows as one JSON line with descriptors, and is answered likewise.
"""

import array
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from bot.local.vers.cgroups import Cgroup, sweep
from bot.local.vers.guest import Spec, boot
from bot.local.vers.syscalls import (
    Clone,
    Mount,
    configure_network,
    die_with_parent,
    drop_capabilities,
    mount,
    setns,
    unshare,
)

Answer = tuple[dict[str, Any], list[int]]
_DIAL_LIMIT_S = 5.0
_MAX_DESCRIPTORS = 8


def main(arguments: list[str]) -> int:
    """Launch a lab and stay until it ends. Arguments: control descriptor, layout root, run name, IPv6 prefix."""
    control_fd, root, run, prefix = int(arguments[0]), arguments[1], arguments[2], arguments[3]
    os.umask(0o022)
    unshare(Clone.NEWPID)
    lab = os.fork()
    if lab == 0:
        _run_lab(control_fd, root, prefix)
    os.close(control_fd)
    os.waitpid(lab, 0)
    sweep(run)
    shutil.rmtree(Path(root, run), ignore_errors=True)  # what is left is swept at the next start
    return 0


def _run_lab(control_fd: int, root: str, prefix: str) -> NoReturn:
    status = 1
    try:
        die_with_parent(signal.SIGKILL)
        os.set_inheritable(control_fd, False)
        control = socket.socket(fileno=control_fd)
        try:
            os.chdir(root)
            _isolate(prefix)
        except BaseException as error:
            control.send(str(error).encode())
            raise
        control.send(b"ok")
        _serve(control)
        status = 0
    finally:
        os._exit(status)


def _isolate(prefix: str) -> None:
    unshare(Clone.NEWNS | Clone.NEWNET | Clone.NEWIPC)
    mount(None, "/", None, Mount.REC | Mount.PRIVATE)
    mount("proc", "/proc", "proc")
    ipv6 = Path("/proc/sys/net/ipv6")
    for name, value in {
        "conf/all/forwarding": "0",  # machines do not see one another
        "conf/all/accept_dad": "0",
        "conf/default/accept_dad": "0",
        "icmp/echo_ignore_all": "1",
    }.items():
        (ipv6 / name).write_text(value)
    configure_network("link set lo up", f"addr add {prefix}::1/128 dev lo nodad")


def _serve(control: socket.socket) -> None:
    number = 0
    while True:
        readable, _, _ = select.select([control], [], [], 0.5)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # workers, and machines that ended: we are their pid 1
                pass
        if not readable:
            continue
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return  # the server is gone
        number += 1
        if os.fork() == 0:
            try:
                control.close()
                _answer(socket.socket(fileno=descriptors[0]), number)
            except BaseException:  # noqa: BLE001  # a forked worker must end here; lab.log keeps why
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _answer(line: socket.socket, number: int) -> None:
    data, descriptors, _, _ = socket.recv_fds(line, 65536, _MAX_DESCRIPTORS)
    while not data.endswith(b"\n"):
        more = line.recv(65536)
        if not more:
            return
        data += more
    request = json.loads(data)
    try:
        reply, given = _OPERATIONS[request.pop("op")](request, descriptors, number)
    except OSError as error:
        reply, given = {"errno": error.errno or 0, "error": error.strerror or str(error)}, []
    except BaseException as error:  # noqa: BLE001  # the server must hear of it, and this worker ends anyway
        reply, given = {"errno": 0, "error": f"{type(error).__name__}: {error}"}, []
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", given))] if given else []
    with contextlib.suppress(OSError):  # the asker may have gone
        line.sendmsg([json.dumps(reply).encode() + b"\n"], ancillary)


def _create(request: dict[str, Any], _descriptors: list[int], number: int) -> Answer:
    prefix = request.pop("prefix")
    spec = Spec(
        **{**request, "lowers": tuple(request["lowers"])},
        link=f"vm{number:x}",  # never a bare "v…": `ip` takes "vf" for a word of its own
        address=f"{prefix}::{number + 1:x}",
        lab_address=f"{prefix}::1",
    )
    pid = boot(spec)
    return {"address": spec.address}, [os.pidfd_open(pid)]


def _dial(request: dict[str, Any], _descriptors: list[int], _number: int) -> Answer:
    connection = socket.create_connection((request["address"], request["port"]), _DIAL_LIMIT_S)
    connection.setblocking(True)
    return {}, [connection.detach()]


def _open(request: dict[str, Any], descriptors: list[int], _number: int) -> Answer:
    setns(descriptors[0], Clone.NEWNS)
    opened = os.open(request["path"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        raise IsADirectoryError(21, "Not a regular file")
    return {}, [opened]


def _write(request: dict[str, Any], descriptors: list[int], _number: int) -> Answer:
    with os.fdopen(descriptors[1], "rb") as source:
        content = source.read()
    setns(descriptors[0], Clone.NEWNS)
    path = Path(request["path"])
    if request["create_dirs"]:
        path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    opened = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        raise IsADirectoryError(21, "Not a regular file")
    os.ftruncate(opened, 0)
    with os.fdopen(opened, "wb") as target:
        target.write(content)
        os.fchmod(opened, request["mode"])
    return {}, []


def _execute(request: dict[str, Any], descriptors: list[int], _number: int) -> Answer:
    """Descriptors: the machine's pidfd, then stdin, stdout and stderr. Answers when the command itself has ended."""
    pidfd = descriptors[0]
    failed_read, failed_write = os.pipe()
    setns(pidfd, Clone.NEWPID)  # for the child
    child = os.fork()
    if child == 0:
        try:
            _become_command(request, descriptors, failed_write)
        except OSError as error:
            os.write(failed_write, json.dumps([error.errno, error.strerror or str(error)]).encode())
        finally:
            os._exit(127)
    for descriptor in (failed_write, *descriptors[1:]):
        os.close(descriptor)
    failure = os.read(failed_read, 4096)
    if failure:
        os.waitpid(child, 0)
        number, text = json.loads(failure)
        raise OSError(number, text)
    limit_s = request["timeout_secs"] or None
    ended, _, _ = select.select([os.pidfd_open(child)], [], [], limit_s)
    if not ended:
        os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"exit_code": code if code >= 0 else 128 - code, "timed_out": not ended}, []


def _become_command(request: dict[str, Any], descriptors: list[int], failed_write: int) -> NoReturn:
    os.setsid()
    Cgroup(request["run"], request["id"]).join()
    setns(descriptors[0], Clone.NEWNS | Clone.NEWCGROUP | Clone.NEWUTS | Clone.NEWIPC | Clone.NEWNET)
    saved = [os.dup(descriptor) for descriptor in (*descriptors[1:], failed_write)]
    highest = max(saved) + 1
    for target, descriptor in enumerate(saved):
        moved = os.dup2(descriptor, highest + target)
        os.dup2(moved, target, inheritable=target < 3)
    os.closerange(4, 65536)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    drop_capabilities()
    try:
        os.chdir(request["working_dir"])
        argv = request["command"]
        os.execvpe(argv[0], argv, request["env"])  # noqa: S606  # an argument vector, as the API says
    except OSError as error:
        os.write(3, json.dumps([error.errno, error.strerror]).encode())
        os._exit(127)


_OPERATIONS: dict[str, Callable[[dict[str, Any], list[int], int], Answer]] = {
    "create": _create,
    "dial": _dial,
    "open": _open,
    "write": _write,
    "exec": _execute,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
