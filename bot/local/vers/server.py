"""Start and stop the local Vers: the lab, the REST server, the TLS front, in this process's threads and one child.

with start(cache) as vers:      # or vers.stop()
    client = ...(vers.base_url, vers.api_key)
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from bot.local.vers import base_tree, tls
from bot.local.vers.api import create_app
from bot.local.vers.conditions import Conditions
from bot.local.vers.distance import FarListener
from bot.local.vers.faults import FaultTable
from bot.local.vers.front import Front, Listener
from bot.local.vers.habits import Habits
from bot.local.vers.inside import Inside
from bot.local.vers.layout import Layout
from bot.local.vers.line import LabLine
from bot.local.vers.machines import Machines
from bot.local.vers.publish import Publications
from bot.local.vers.store import Store
from bot.local.vers.world import World
from bot.serving import Serving

VM_DOMAIN = "vm.vers.localhost"
ADDRESS_FILE = "address.json"
_THREADS = 64
"""Each follower of a stream holds one."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a client needs, JSON-safe: the settings VERS_URL, VERS_API_KEY, VERS_VM_DOMAIN, VERS_FRONT, VERS_CA_FILE
    and VERS_PUBLISH_URL, in this order.
    """

    base_url: str
    api_key: str
    vm_domain: str
    front: str
    ca_file: str
    publish_url: str


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `stop` (or leaving the `with` block) leaves no process, mount, network or cgroup.

    Attributes:
        run: name of this server's folder below the cache, also in its cgroups' paths.
    """

    address: Address
    run: str
    _stop: Callable[[], None]

    @property
    def base_url(self) -> str:
        return self.address.base_url

    @property
    def api_key(self) -> str:
        return self.address.api_key

    @property
    def vm_domain(self) -> str:
        return self.address.vm_domain

    @property
    def front(self) -> str:
        """host:port to dial for every machine."""
        return self.address.front

    @property
    def ca_file(self) -> Path:
        return Path(self.address.ca_file)

    @property
    def publish_url(self) -> str:
        return self.address.publish_url

    def stop(self) -> None:
        """End every machine and close every port; commits stay in the cache. Safe to call twice."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def to_stderr(line: str) -> None:
    """The default for progress lines."""
    sys.stderr.write(line + "\n")


def start(
    cache: Path,
    *,
    port: int = 0,
    progress: base_tree.Progress = to_stderr,
    habits: Habits = Habits(),  # noqa: B008  # frozen
    flatten_above: int = 100,
    conditions: Conditions | None = None,
) -> Running:
    """Start a server on loopback.

    Args:
        cache: the product's cache folder; the base tree is built there first when it is missing.
        port: of the REST API; 0 takes a free one.
        progress: gets lines for a person while the base tree is built.
        habits: what it does where the documents of Vers leave it open.
        flatten_above: number of layers of a commit's chain above which it is copied into one.
        conditions: how slow it is; as fast as it can be without any.

    Raises:
        Permanent: this machine cannot run machines; the message says why and what to do.
        OSError: the port is taken.
    """
    conditions = conditions or Conditions()
    layout = Layout.in_cache(cache)
    store = Store(layout)
    base = base_tree.ensure(layout, progress)
    with ExitStack() as undo:
        folder, lock = store.new_run()
        undo.callback(os.close, lock)
        line = LabLine.start(layout, folder.name, lock)
        undo.callback(line.stop)
        faults = FaultTable()
        machines = Machines(layout, store, line, base, faults, habits=habits, flatten_above=flatten_above)
        undo.callback(machines.stop)
        publications = Publications(machines.dial, conditions)
        undo.callback(publications.stop)
        authority = tls.ensure_authority(layout.tls)
        context = tls.server_context(authority, VM_DOMAIN, folder)
        doorman = Front(context, VM_DOMAIN, machines.anyones, machines.dial, faults, conditions)
        front = Listener(doorman.serve, conditions)
        undo.callback(front.stop)
        draw = random.Random()  # noqa: S311  # a number to show, no secret
        world = World(
            folder.name,
            store,
            machines,
            Inside(line),
            publications,
            faults,
            conditions,
            habits,
            new_port=lambda: draw.randint(20000, 60000),
            open_connections=doorman.open_connections,
        )
        rest = Serving(
            create_app(world),
            name="vers-rest",
            port=port,
            threads=_THREADS,
            wrap=lambda listener: FarListener.of(listener, conditions.one_way_s),
            ident="vers",
        )
        undo.callback(rest.stop)
        address = Address(
            base_url=rest.url,
            api_key=store.first_key(),
            vm_domain=VM_DOMAIN,
            front=f"127.0.0.1:{front.port}",
            ca_file=str(authority),
            publish_url=f"{rest.url}/_local/publish",
        )
        return Running(address, folder.name, undo.pop_all().close)


def running_addresses(cache: Path) -> list[Path]:
    """The files in which servers in the foreground say their `Address`, youngest first. A crashed one's may be there, too."""
    files = (folder / ADDRESS_FILE for folder in Layout.in_cache(cache).runs())
    return sorted((file for file in files if file.exists()), key=lambda f: f.stat().st_mtime, reverse=True)


def serve(
    port: int,
    cache: Path,
    *,
    conditions: Conditions | None = None,
    habits: Habits = Habits(),  # noqa: B008  # frozen
) -> NoReturn:
    """Run in the foreground: one JSON line of `Address` on stdout when ready; SIGTERM and SIGINT end it cleanly.

    The same line lies in the server's folder while it runs, for commands that look for a local Vers.
    """

    def leave(_number: int, _frame: object) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # the way out is not interrupted
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with start(cache, port=port, conditions=conditions, habits=habits) as running:
        said = json.dumps(asdict(running.address))
        Layout.in_cache(cache).private_file(running.run, ADDRESS_FILE, said)
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        while True:
            signal.pause()
