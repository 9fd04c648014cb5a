"""How a machine comes to life: from a fork of the lab to /sbin/init in its own namespaces. Standard library only."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from bot.local.vers.cgroups import Cgroup
from bot.local.vers.syscalls import (
    MACHINE_NAMESPACES,
    Mount,
    configure_network,
    drop_capabilities,
    mount,
    mount_overlay,
    pivot_into,
    set_hostname,
    unshare,
)

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
_HIDDEN = ("/proc/kcore", "/proc/keys", "/proc/timer_list")
_NO_ACCESS = Mount.NOSUID | Mount.NODEV | Mount.NOEXEC
# Fixed hardware addresses and permanent neighbours: no neighbour discovery, hence no lost first packet.
_LAB_MAC, _GUEST_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


@dataclass(frozen=True, slots=True)
class Spec:
    """What the lab needs to boot one machine. All paths are relative to the layout's root.

    Attributes:
        id: the machine's id, also its cgroup's name.
        folder: its own folder, with `up`, `wk` and `m` inside.
        lowers: layers below it, topmost first; the last is the base tree (or a flattened chain).
        link: name of the lab's end of the cable.
        address, lab_address: IPv6 of the machine and of the lab.
        authorized_key: one line, put on a tmpfs so that no snapshot carries it.
        limits: cgroup v2 names to values.
    """

    id: str
    run: str
    folder: str
    lowers: tuple[str, ...]
    link: str
    address: str
    lab_address: str
    hostname: str
    authorized_key: str
    limits: dict[str, str]
    fresh_host_keys: bool


def boot(spec: Spec) -> int:
    """Start a machine from a process of the lab; returns its first process's id as the lab sees it.

    Returns when /sbin/init has been executed; sshd needs a moment more.

    Raises:
        OSError: a step failed; the end of the machine's console says which.
    """
    cgroup = Cgroup(spec.run, spec.id)
    cgroup.make(spec.limits)
    go_read, go_write = os.pipe()
    up_read, up_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(go_write)
            _become_machine(spec, cgroup, go_read, up_write)
        except BaseException as error:  # noqa: BLE001  # a forked child must end here whatever happens
            os.write(2, f"boot: {error}\n".encode())
        finally:
            os._exit(1)
    os.close(up_write)
    os.close(go_read)
    pid = int(os.read(up_read, 32) or b"0")
    os.waitpid(helper, 0)
    try:
        if pid:
            _plug_in(spec, pid)
            os.write(go_write, b"x")
        if not pid or os.read(up_read, 1) != b"n":
            raise OSError("machine did not start: " + Path(spec.folder, "console").read_text()[-500:])
    finally:
        os.close(go_write)
        os.close(up_read)
    return pid


def _plug_in(spec: Spec, pid: int) -> None:
    configure_network(
        f"link add {spec.link} address {_LAB_MAC} type veth peer name eth0 address {_GUEST_MAC} netns {pid}",
        f"link set {spec.link} addrgenmode none up",
        f"addr add fe80::1/64 dev {spec.link} nodad",
        f"route add {spec.address}/128 dev {spec.link}",
        f"neigh add {spec.address} lladdr {_GUEST_MAC} dev {spec.link} nud permanent",
    )


def _become_machine(spec: Spec, cgroup: Cgroup, go_read: int, up_write: int) -> None:
    os.setsid()
    console = os.open(f"{spec.folder}/console", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(console, 1)
    os.dup2(console, 2)
    cgroup.join()
    unshare(MACHINE_NAMESPACES)
    first = os.fork()
    if first:
        os.write(up_write, str(first).encode())
        os._exit(0)
    os.read(go_read, 1)  # eth0 is plugged in
    _first_process(spec, up_write)


def _first_process(spec: Spec, up_write: int) -> None:
    os.setsid()
    configure_network(
        "link set lo up",
        "link set eth0 addrgenmode none up",
        f"addr add {spec.address}/128 dev eth0 nodad",
        # An IPv4 address without a route: with none at all, getaddrinfo's AI_ADDRCONFIG (apt's) refuses 127.0.0.1.
        "addr add 100.64.0.2/32 dev eth0",
        "route add fe80::1 dev eth0",
        f"neigh add fe80::1 lladdr {_LAB_MAC} dev eth0 nud permanent",
        # The only way out, and only for answers: nothing in the lab listens, and there is no default route.
        f"route add {spec.lab_address}/128 via fe80::1 dev eth0",
    )
    set_hostname(spec.hostname)
    root = f"{spec.folder}/m"
    mount_overlay(spec.lowers, root, f"{spec.folder}/up", f"{spec.folder}/wk")
    _mount_system_folders(root)
    Path(root, "run/vers").mkdir(parents=True)
    Path(root, "run/vers/authorized_keys").write_text(spec.authorized_key + "\n")
    pivot_into(root)
    _protect_proc()
    drop_capabilities()
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.write(up_write, b"n")
    os.closerange(3, 65536)
    arguments = ["fresh-host-keys"] if spec.fresh_host_keys else []
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    os.execve("/sbin/init", ["/sbin/init", *arguments], environment)  # noqa: S606  # becoming init is the point


def _mount_system_folders(root: str) -> None:
    mount("proc", f"{root}/proc", "proc", _NO_ACCESS)
    mount("tmpfs", f"{root}/dev", "tmpfs", Mount.NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        Path(root, "dev", name).touch()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, Mount.BIND)
    for name, target in _LINKS.items():
        Path(root, "dev", name).symlink_to("/proc/self/fd" + target)
    device = Path(root, "dev")
    (device / "pts").mkdir()
    (device / "shm").mkdir()
    (device / "ptmx").symlink_to("pts/ptmx")
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    mount("devpts", f"{root}/dev/pts", "devpts", Mount.NOSUID | Mount.NOEXEC, options)
    mount("tmpfs", str(device / "shm"), "tmpfs", Mount.NOSUID | Mount.NODEV)
    mount("tmpfs", f"{root}/run", "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=755")
    mount("sysfs", f"{root}/sys", "sysfs", Mount.RDONLY | _NO_ACCESS)


def _protect_proc() -> None:
    for path in _READ_ONLY:
        if Path(path).exists():
            mount(path, path, None, Mount.BIND | Mount.REC)
            mount(None, path, None, Mount.BIND | Mount.REMOUNT | Mount.RDONLY | _NO_ACCESS)
    for path in _HIDDEN:
        if Path(path).exists():
            mount("/dev/null", path, None, Mount.BIND)
