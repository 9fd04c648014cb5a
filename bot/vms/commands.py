"""The shell scripts behind the methods of a shell. Pure: arguments in, one quoted command out.

They use what Debian's and Ubuntu's essential packages have: bash, coreutils, findutils, awk, tar, util-linux.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from shlex import quote


def bounded(command: str, timeout_s: float) -> str:
    """A command that is killed with its whole process group after `timeout_s`, whether we are still there or not.

    The outer shell stays (`exit $?`): sshd reports a command that dies by a signal without an exit status, which
    could not be told from a lost line.
    """
    return f"timeout -s KILL {timeout_s:g} bash -c {quote(command)}; exit $?"


def unbounded(command: str) -> str:
    """A command without a limit, whose end by a signal is an exit status, too; see `bounded`."""
    return f"bash -c {quote(command)}; exit $?"


def stoppable(command: str, timeout_s: float, pid_file: str) -> str:
    """A command whose process group another session can end by `stop`; status 124 if it runs for `timeout_s` (0: no limit)."""
    return (
        f"timeout -k 2 {timeout_s:g} bash -c {quote(command)} <&0 & "  # a job in the background would read nothing
        f"echo $! >{quote(pid_file)}; {{ wait $!; }} 2>/dev/null; s=$?; rm -f {quote(pid_file)}; exit $s"
    )


def stop(pid_file: str) -> str:
    """End what `stoppable` started: `timeout` hands the signal on to the whole group, and kills it two seconds later."""
    return f"[ ! -e {quote(pid_file)} ] || kill -TERM $(cat {quote(pid_file)})"


TRUNCATED, ROTATED = 9, 10
"""Exit statuses of `follow`."""


def follow(path: str, offset: int) -> str:
    """Print a file from a byte offset and go on as it grows; wait for it if it does not exist.

    Ends with `TRUNCATED` if the file is shorter than the offset, and with `ROTATED` when another one, or none, has taken
    its name. It ends when its standard input does, which sshd closes with the channel: a silent `tail` would outlive it.
    Opening the file for writing first makes overlayfs copy it up; a reader of the lower copy would never see it grow.
    There tail looks for itself instead of being told, once a second unless `-s` says otherwise.
    """
    file = quote(path)
    waited = "read -rt {} -u 3; s=$?; [ $s = 0 ] || [ $s -gt 128 ] || exit 0; "  # above 128: nothing was said in that time
    script = (
        f"exec 3<&0; until [ -e {file} ]; do {waited.format(0.1)}done; : >>{file}; exec 4<{file}; "
        f"[ $(stat -Lc %s /dev/fd/4) -ge {offset} ] || exit {TRUNCATED}; "
        f"tail -s 0.05 -c +{offset + 1} -f /dev/fd/4 3<&- </dev/null & trap 'kill -KILL %1' EXIT; "
        f"while kill -0 $! 2>/dev/null; do {waited.format(1)}[ {file} -ef /dev/fd/4 ] || exit {ROTATED}; done; wait $!"
    )
    return f"bash -c {quote(script)}"


def write_file(path: str, length: int, mode: int, owner: str) -> str:
    """Standard input becomes the file, in one step, and only if all `length` bytes have come: a lost line ends
    the input early. For another owner than root it is written as that user, so that no link in a folder of theirs
    leads us, as root, elsewhere.
    """
    file, folder = quote(path), quote(str(PurePosixPath(path).parent))
    script = (
        f"set -e; mkdir -p {folder}; t=$(mktemp {folder}/.swarm.XXXXXXXX); "
        f'trap \'rm -f "$t"\' EXIT; cat >"$t"; '
        f'[ "$(stat -c %s "$t")" = {length} ] || {{ echo "input cut short" >&2; exit 75; }}; '
        f'chmod {mode:o} "$t"; mv -fT "$t" {file}'
    )
    return _as(owner, script)


def read_tree(path: str, exclude: Sequence[str]) -> str:
    """A folder as a tar stream. Status 1 (a file changed while it was read) is fine: agents are at work there."""
    patterns = " ".join(f"--exclude={quote(pattern)}" for pattern in exclude)
    return f"tar -C {quote(path)} {patterns} --warning=no-file-changed -cf - . || [ $? = 1 ]"


def write_tree(path: str, owner: str) -> str:
    """Unpack standard input below a folder as its owner; root makes the folder where the owner may not."""
    folder, user = quote(path), quote(owner)
    make = f"mkdir -p {folder}"
    if owner != "root":
        make = f"runuser -u {user} -- mkdir -p {folder} 2>/dev/null || {{ mkdir -p {folder} && chown -h {user}: {folder}; }}"
    return f"{make}; {_as(owner, f'tar -C {folder} --no-same-owner -xf -')}"


def free_port(port: int) -> str:
    """End whoever listens on a loopback port: the sshd of a connection that broke off without a word still does."""
    return (
        f'inode=$(awk \'$2 == "0100007F:{port:04X}" && $4 == "0A" {{print $10; exit}}\' /proc/net/tcp); '
        '[ -n "$inode" ] || exit 0; '
        'find /proc/[0-9]*/fd -lname "socket:\\[$inode\\]" 2>/dev/null | cut -d/ -f3 | sort -u | xargs -r kill -KILL'
    )


def _as(owner: str, script: str) -> str:
    if owner == "root":
        return f"bash -c {quote(script)}"
    return f"runuser -u {quote(owner)} -- bash -c {quote(script)}"
