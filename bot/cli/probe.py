"""`swarm-bot vers probe`: asks an installation of Vers what its documents leave open, on three machines that are deleted."""

import json
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from bot.cli.litter import Litter
from bot.cli.place import Place, as_json, at_vers
from bot.cli.tables import note, print_json, print_rows
from bot.core.errors import BotError, NotFound, Transient
from bot.core.models import CommitId, VmId
from bot.vms import profile as profiles
from bot.vms import tls
from bot.vms.keys import key_kind
from bot.vms.profile import LIST_PATHS, PAUSE_WORDS, ErrorShape, Profile
from bot.vms.vers import HOST_KEY_PATH

LIMIT_S = 180.0
"""After this nothing more is asked; what was made is deleted."""
_MARK = "/dev/shm/swarm-probe"  # noqa: S108  # memory, inside a machine of ours
_TICKER = f"setsid sh -c 'while :; do date +%s.%N >{_MARK}; sleep 0.2; done' >/dev/null 2>&1 </dev/null &"
_PORT = 8897
_OUTSIDE = "1.1.1.1/443"
_READ_TIMEOUT_S, _CREATE_TIMEOUT_S = 30.0, 120.0
_SNIPPET = 120
_HUGE_MIB = 1 << 24


@click.group()
def commands() -> None:
    """The Vers that is configured."""


@commands.command()
@click.option(
    "--exec-seconds", default=35.0, show_default=True, help="How long a command over the API is tried."
)
@as_json
@at_vers
def probe(at: Place, *, exec_seconds: float, as_json: bool) -> None:
    """Find out what this Vers does where its documents leave it open, and remember it (under three minutes, three machines)."""
    found = Probe(at, exec_seconds).run()
    where = profiles.store(at.settings.swarm_cache, found)
    if as_json:
        print_json(found.jsonable())
    else:
        rows = [{"question": name, "answer": _said(value)} for name, value in found.jsonable().items()]
        print_rows(rows, ("question", "answer"), as_json=False, empty="")
        note(f"kept in {where}")
    sys.exit(1 if found.failures else 0)


class Probe:
    """One probe. A question that fails is noted, and the others are asked all the same."""

    def __init__(self, at: Place, exec_seconds: float) -> None:
        self._at = at
        self._exec_seconds = exec_seconds
        self._answers: dict[str, Any] = {}
        self._errors: dict[str, ErrorShape] = {}
        self._failures: dict[str, str] = {}
        self._until = time.monotonic() + LIMIT_S
        word = uuid.uuid4().hex[:8]
        self._made = Litter(
            at.vers, at.labels(purpose="probe", build=word), name=f"{at.deployment}-probe-{word}"
        )
        self._clones: list[VmId] = []
        settings = at.settings
        self._http = httpx.Client(
            base_url=settings.vers_url.rstrip("/").removesuffix("/api/v1") + "/api/v1",
            headers={"authorization": f"Bearer {settings.vers_api_key.get_secret_value()}"},
            timeout=_READ_TIMEOUT_S,
        )

    def run(self) -> Profile:
        """All answers. No machine and no snapshot is left.

        Raises:
            BotError: not even a machine could be made, or something could not be deleted.
        """
        begun = time.monotonic()
        try:
            self._ask_the_account()
            vm = self._root()
            with ThreadPoolExecutor(1) as aside:
                limit = aside.submit(self._ask, "exec", lambda: self._exec_limit(vm))
                self._ask_the_machine(vm)
                limit.result()
            self._ask_the_clones(vm)
        finally:
            self._made.clear()
            self._http.close()
        return Profile(
            url=self._at.settings.vers_url,
            probed_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - begun, 1),
            errors=self._errors,
            failures=self._failures,
            **self._answers,
        )

    def _ask(self, question: str, look: Callable[[], None]) -> None:
        if time.monotonic() > self._until:
            self._failures[question] = f"not asked: the probe's {LIMIT_S:.0f} s were over"
            return
        try:
            look()
        except (BotError, httpx.HTTPError, OSError, KeyError, ValueError) as error:
            self._failures[question] = f"{type(error).__name__}: {error}"[:300]

    # Questions -------------------------------------------------------------------------------------

    def _ask_the_account(self) -> None:
        self._ask("lists", self._lists)
        self._ask("limits", self._limits)
        self._ask("error shapes", self._shapes)

    def _lists(self) -> None:
        works = tuple(path for path in LIST_PATHS if self._http.get(path).is_success)
        if works:
            self._answers |= {"list_path": works[0], "list_paths": works}

    def _limits(self) -> None:
        key = self._json("GET", "/whoami")["api_key"]
        self._answers |= {"max_vcpus": key.get("max_vcpus"), "max_memory_mib": key.get("max_memory_mib")}

    def _shapes(self) -> None:
        nobody = uuid.uuid4()
        for name, method, path, body in (
            ("status of an unknown machine", "GET", f"/vm/{nobody}/status", None),
            ("delete of an unknown machine", "DELETE", f"/vm/{nobody}", None),
            ("status of no id", "GET", "/vm/no-id/status", None),
            ("branch of an unknown commit", "POST", f"/vm/branch/by_commit/{nobody}", None),
            ("branch of an unknown machine", "POST", f"/vm/branch/by_vm/{nobody}", None),
            ("from_commit without one", "POST", "/vm/from_commit", b"{}"),
            ("new_root with text for json", "POST", "/vm/new_root", b"text"),
            ("unknown tag", "GET", "/commit_tags/swarm-probe-none", None),
        ):
            headers = {"content-type": "application/json"} if body else {}
            self._errors[name] = shape(self._http.request(method, path, content=body, headers=headers))
        self._errors["no key"] = shape(self._http.get("/vm", headers={"authorization": ""}))

    def _ask_the_machine(self, vm: VmId) -> None:
        self._ask("certificate", lambda: self._certificate(vm))
        self._ask("ssh", lambda: self._ssh(vm))
        self._ask("stream", lambda: self._stream(vm))
        self._errors["state in lower case"] = shape(
            self._http.patch(f"/vm/{vm}/state", json={"state": "running"})
        )
        self._ask("label delete", lambda: self._label_delete(vm))
        self._ask("size", self._too_big)

    def _certificate(self, vm: VmId) -> None:
        settings = self._at.settings
        name = f"{vm}.{settings.vers_vm_domain}"
        host, _, port = settings.vers_front.replace("{vm}", name).rpartition(":")
        try:
            with tls.dial(
                host.strip("[]"), int(port), name, tls.verifying_context(settings.vers_ca_file), 15.0
            ) as line:
                issuer = (line.getpeercert() or {}).get("issuer", ())
        except ssl.SSLCertVerificationError as error:
            self._answers["certificate_problem"] = error.verify_message
            return
        self._answers["certificate_issuer"] = ", ".join(f"{k}={v}" for part in issuer for k, v in part)  # type: ignore[str-unpack]

    def _ssh(self, vm: VmId) -> None:
        self._answers["ssh_key_kind"] = key_kind(self._at.vers.ssh_key(vm).private_key)
        shell = self._at.connect(vm)
        try:
            with _hello() as dial:
                try:
                    shell.forward(_PORT, dial)
                except Transient:
                    shell.run("true")  # the line is well: it was refused
                heard = shell.run(f"timeout 10 cat </dev/tcp/127.0.0.1/{_PORT}", check=False)
            self._answers["forwarding"] = heard.stdout == b"hello"
            out = shell.run(f"timeout 5 bash -c 'exec 3<>/dev/tcp/{_OUTSIDE}'", check=False)
            self._answers["way_out"] = out.exit_status == 0
        finally:
            shell.close()

    def _stream(self, vm: VmId) -> None:
        body = {"command": ["echo", "x"], "exec_id": str(uuid.uuid4()), "timeout_secs": 20}
        with self._http.stream("POST", f"/vm/{vm}/exec/stream", json=body) as answer:
            self._answers["stream_content_type"] = answer.headers.get("content-type", "")
            frames = [json.loads(line) for line in answer.iter_lines() if line.strip()]
        self._answers["stream_first_cursor"] = next((f["cursor"] for f in frames if "cursor" in f), None)

    def _label_delete(self, vm: VmId) -> None:
        self._at.vers.label(vm, {"probe": "x"})
        self._errors["delete of a label (no error)"] = shape(self._http.delete(f"/vm/{vm}/label/probe"))

    def _too_big(self) -> None:
        body = {"vm_config": {"mem_size_mib": _HUGE_MIB, "labels": dict(self._made.labels)}}
        answer = self._http.post("/vm/new_root", json=body, timeout=_CREATE_TIMEOUT_S)
        self._errors["a machine beyond every limit"] = shape(answer)
        if answer.is_success:
            self._made.vms.append(VmId(answer.json()["vm_id"]))

    def _exec_limit(self, vm: VmId) -> None:
        begun = time.monotonic()
        body = {"command": ["sleep", f"{self._exec_seconds:g}"], "timeout_secs": int(self._exec_seconds) + 30}
        try:
            answer = self._http.post(f"/vm/{vm}/exec", json=body, timeout=self._exec_seconds + 30)
            cut = not (answer.is_success and answer.json().get("exit_code") == 0)
            if cut:
                self._errors["a long command"] = shape(answer)
        except httpx.TransportError as error:
            cut = True
            self._errors["a long command"] = ErrorShape(0, "empty", type(error).__name__)
        self._answers |= {"exec_seconds": round(time.monotonic() - begun, 1), "exec_limited": cut}

    def _ask_the_clones(self, vm: VmId) -> None:
        self._ask("ticker", lambda: self._tick(vm))
        self._ask("pause", lambda: self._pause(vm))
        self._ask("commit", lambda: self._take_commit(vm))
        self._ask("branch", self._branch)
        if self._clones:
            self._ask("clone", lambda: self._clone(vm, self._clones[0]))
            self._errors["delete of a commit in use"] = shape(
                self._http.delete(f"/commits/{self._made.commit}")
            )

    def _pause(self, vm: VmId) -> None:
        words = []
        for word in PAUSE_WORDS:
            answer = self._http.patch(f"/vm/{vm}/state", json={"state": word}, timeout=_CREATE_TIMEOUT_S)
            if not answer.is_success:
                self._errors[f"state {word}"] = shape(answer)
                continue
            words.append(word)
            self._answers["paused_state"] = self._state(vm)
            self._http.patch(
                f"/vm/{vm}/state", json={"state": "Running"}, timeout=_CREATE_TIMEOUT_S
            ).raise_for_status()
        self._answers["pause_words"] = tuple(words)
        if words:
            self._answers |= {"pause_word": words[0], "pause_keeps_memory": self._ticks(vm)}

    def _take_commit(self, vm: VmId) -> None:
        name = {"name": self._made.name}
        answer = self._json("POST", f"/vm/{vm}/commit", json=name, timeout=_CREATE_TIMEOUT_S)
        self._made.commit = CommitId(answer["commit_id"])
        state = self._answers["state_after_commit"] = self._state(vm)
        if state != "running":
            self._at.vers.set_paused(vm, paused=False)

    def _branch(self) -> None:
        if self._made.commit is None:
            raise NotFound("there is no snapshot to branch from")
        path = f"/vm/branch/by_commit/{self._made.commit}"
        self._made.branching = True
        answer = self._http.post(path, params={"count": 2}, timeout=_CREATE_TIMEOUT_S)
        if 400 <= answer.status_code < 500:
            self._errors["a branch of two"] = shape(answer)
            answer = self._http.post(path, params={"count": 1}, timeout=_CREATE_TIMEOUT_S)
        self._clones = [VmId(each["vm_id"]) for each in answer.raise_for_status().json()["vms"]]
        self._made.vms += self._clones
        self._made.branching = False
        self._answers["branch_count"] = len(self._clones)
        self._ask("labels of a clone", lambda: self._inherits(self._clones[0]))
        for clone in self._clones:
            self._at.vers.label(clone, self._made.labels)

    def _inherits(self, clone: VmId) -> None:
        self._answers["branch_inherits_labels"] = bool(self._json("GET", f"/vm/{clone}/status").get("labels"))

    def _clone(self, vm: VmId, clone: VmId) -> None:
        vers = self._at.vers
        self._at.connect(clone).close()  # by now it has made host keys of its own, if it does
        cloned = vers.read_file(clone, HOST_KEY_PATH)
        self._answers["clones_share_host_key"] = vers.read_file(vm, HOST_KEY_PATH) == cloned
        self._answers["commit_keeps_memory"] = self._ticks(clone)

    # Means -----------------------------------------------------------------------------------------

    def _root(self) -> VmId:
        vm = self._at.vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels=self._made.labels)
        self._made.vms.append(vm)
        return vm

    def _exec(self, vm: VmId, script: str) -> dict[str, Any]:
        body = {"command": ["sh", "-c", script], "timeout_secs": 20}
        return self._json("POST", f"/vm/{vm}/exec", json=body)

    def _tick(self, vm: VmId) -> None:
        self._exec(vm, _TICKER)

    def _ticks(self, vm: VmId) -> bool:
        """Whether the process that was started before goes on writing down the time."""
        answer = self._exec(
            vm, f'a=$(cat {_MARK}); sleep 1; b=$(cat {_MARK}); [ -n "$a" ] && [ "$a" != "$b" ]'
        )
        return bool(answer["exit_code"] == 0)

    def _state(self, vm: VmId) -> str:
        return str(self._at.vers.status(vm).state)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._http.request(method, path, **options)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def shape(answer: httpx.Response) -> ErrorShape:
    """A refusal as people may read it."""
    text = answer.text.strip()
    try:
        kind = "json" if text and json.loads(text) is not None else "empty"
    except ValueError:
        kind = "text"
    return ErrorShape(answer.status_code, kind, text[:_SNIPPET])


@contextmanager
def _hello() -> Iterator[Callable[[], socket.socket]]:
    """A service of ours that greets whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"hello")

        threading.Thread(target=serve, name="probe-hello", daemon=True).start()
        yield lambda: socket.create_connection(server.getsockname())


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_said(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "not known" if value is None or value == "" else str(value)
