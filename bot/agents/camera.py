"""Pictures of pages, and pages made of transcripts: on machines of their own, with a browser in their image."""

import base64
import hashlib
import json
import logging
import re
import shlex
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.agents.golden import delete_builder, find_image, tag_image
from bot.agents.golden_stock import KEEP_FORMER_S, GoldenStock
from bot.agents.lines import PROGRAMS, REGISTRY_PORT, Lines
from bot.core.errors import Permanent, UserError
from bot.core.models import CommitId, VmId
from bot.core.texts import Texts
from bot.pipeline.journal.fleet import Fleet
from bot.vms.base import Connect, Dial, Provider, Shell, labels_of

log = logging.getLogger(__name__)

PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core", "fonts-noto-color-emoji")
WIDTH, HEIGHT = 1280, 800
SETTLE_MS, LIMIT_MS = 1_500, 30_000
LARGEST_BYTES = 4 << 20
PNG = b"\x89PNG\r\n\x1a\n"
_BUILD_LIMIT_S, _DIAL_LIMIT_S, _EXPORT_LIMIT_S = 1500.0, 10.0, 60.0
_OUR_PORTS = frozenset({22, REGISTRY_PORT})
_DIALLED_HOST = re.compile(r"[A-Za-z0-9.:-]+")


@dataclass(frozen=True, slots=True)
class CameraScript:
    """View of `vm/camera/camera.sh.j2`."""

    packages: tuple[str, ...]


class CameraImages:
    """Finds the image of machines that take pictures, or builds it: the golden one, and a browser."""

    def __init__(
        self,
        *,
        provider: Provider,
        connect: Connect,
        fleet: Fleet,
        lines: Lines,
        texts: Texts,
        vm_files: Path,
        deployment: str,
    ) -> None:
        """As of `GoldenImages`; the machine that it is built on needs the package registries."""
        self._provider = provider
        self._connect = connect
        self._fleet = fleet
        self._lines = lines
        self._script = texts.render("vm/camera/camera.sh.j2", CameraScript(PACKAGES)).encode()
        self._program = (vm_files / "camera" / "picture.js").read_bytes()
        self._deployment = deployment
        self._building = threading.Lock()

    def ensure(self, golden: CommitId) -> CommitId:
        """The image on top of a golden one, built if it is not there yet, which takes minutes.

        Raises:
            BotError: it could not be built. No machine is left.
        """
        recipe = hashlib.sha256(b"\0".join([golden.encode(), self._script, self._program])).hexdigest()
        name = f"swarm-camera-{self._deployment}-{recipe[:12]}"
        with self._building:
            return find_image(self._provider, self._fleet, recipe, name) or self._build(golden, recipe, name)

    def _build(self, golden: CommitId, recipe: str, name: str) -> CommitId:
        log.info("building the image of machines that take pictures, %s", name)
        (vm,) = self._provider.branch(golden)
        try:
            self._provider.label(vm, labels_of(self._deployment, purpose="camera"))
            commit = self._build_on(vm, name)
        finally:
            delete_builder(self._provider, vm)
        tag_image(self._provider, name, commit)
        self._fleet.set_golden(recipe, commit, name)
        stock = GoldenStock(self._provider, self._fleet, self._deployment, present=name, kind="camera")
        stock.delete_former(older_than_s=KEEP_FORMER_S)
        return commit

    def _build_on(self, vm: VmId, name: str) -> CommitId:
        shell = self._connect(vm, timeout_s=120.0)
        try:
            shell.forward(REGISTRY_PORT, self._lines.registry(vm))
            shell.write_file(f"{PROGRAMS}/picture.js", self._program)
            shell.write_file(f"{PROGRAMS}/camera.sh", self._script, mode=0o755)
            done = shell.run(f"bash {PROGRAMS}/camera.sh 2>&1", timeout_s=_BUILD_LIMIT_S, check=False)
        finally:
            shell.close()
        if done.exit_status != 0:
            last = " | ".join(line for line in done.text.splitlines()[-5:] if line.strip())
            raise Permanent(f"the browser could not be installed (exit status {done.exit_status}): {last}")
        return self._provider.commit(vm, name)


def photograph(shell: Shell, url: str) -> bytes:
    """A PNG of a page, from a machine of `CameraImages`: the page's port is forwarded to it, and its browser finds no other name.

    Where machines have a route of their own (`vms.profile.Profile.way_out`), nothing but the browser keeps a page to that.

    Raises:
        UserError: there is no picture; the message says why.
        BotError: the line to the machine broke.
    """
    host, port = _place(url)
    shell.forward(port, _to(host, port))
    want = {
        "url": url, "host": f"[{host}]" if ":" in host else host, "width": WIDTH, "height": HEIGHT,
        "settle_ms": SETTLE_MS, "limit_ms": LIMIT_MS,
    }  # fmt: skip
    answer = _answer(shell.run(f"{PROGRAMS}/browser", stdin=json.dumps(want).encode(), timeout_s=60.0).stdout)
    if problem := answer.get("problem"):
        raise UserError(str(problem)[:300])
    try:
        picture = base64.b64decode(str(answer.get("png", "")), validate=True)
    except ValueError as error:
        raise UserError("what the browser answered is no picture") from error
    if not picture.startswith(PNG):
        raise UserError("what the browser answered is no picture")
    if len(picture) > LARGEST_BYTES:
        raise UserError(f"the picture has {len(picture):,} bytes, which is too much")
    return picture


def transcripts(shell: Shell, sessions: Mapping[str, bytes]) -> dict[str, bytes]:
    """Sessions of pi as pages, made by pi's own export on a machine that nobody has worked on.

    Raises:
        BotError: the line to the machine broke.
    """
    made = {}
    for name, session in sessions.items():
        source, target = f"/tmp/{name}.jsonl", f"/tmp/{name}.html"  # noqa: S108 - of a machine of its own
        shell.write_file(source, session, owner="agent")
        export = f"PI_OFFLINE=1 exec pi --export {source} {target}"
        command = f"cd /tmp && runuser -u agent -- bash -lc {shlex.quote(export)}"
        done = shell.run(command, timeout_s=_EXPORT_LIMIT_S, check=False)
        if done.exit_status == 0:
            made[name] = shell.read_file(target, limit_bytes=4 * LARGEST_BYTES)
        else:
            log.warning("transcript of %s: %s", name, done.text[-300:])
    return made


def _place(url: str) -> tuple[str, int]:
    """Host and port of an address that we built ourselves."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not _DIALLED_HOST.fullmatch(host) or port in _OUR_PORTS:
        raise UserError("the preview's address cannot be reached from the machine that takes the picture")
    return host, port


def _to(host: str, port: int) -> Dial:
    return lambda: socket.create_connection((host, port), timeout=_DIAL_LIMIT_S)


def _answer(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise UserError("the browser gave no answer")
    return answer
