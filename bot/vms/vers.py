"""Vers over HTTP: the `Provider` of machines, real or local."""

import base64
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from bot.core.errors import (
    BotError,
    Conflict,
    Forbidden,
    NotFound,
    Permanent,
    Transient,
    translate,
)
from bot.core.models import CommitId, VmId
from bot.vms import wire
from bot.vms.base import CommitInfo, SshKey, VmInfo, VmMetadata, VmState
from bot.vms.calls import CREATE_TIMEOUT_S, FOREIGN, READ_TIMEOUT_S, Calls
from bot.vms.profile import LIST_PATHS, PAUSE_WORDS, Profile

log = logging.getLogger(__name__)

HOST_KEY_PATH = "/etc/ssh/ssh_host_ed25519_key.pub"

_PAGE = 50
_LABELLED = "machine"
"""Where a branch begins with its parent's labels, this one has the id of the machine that was given them."""

Addresses = Callable[[VmId, int], str]
"""Where a visitor reaches a port of a machine."""


class LocalAddresses:
    """The addresses of the local Vers, which publishes a machine's port on loopback when it is asked to."""

    def __init__(self, publish_url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._publish_url = publish_url
        self._http = httpx.Client(transport=transport, timeout=READ_TIMEOUT_S)

    def __call__(self, vm: VmId, port: int) -> str:
        """
        Raises:
            Transient: the local Vers does not answer.
            NotFound: it has no such machine.
        """
        doing = f"publishing port {port} of {vm}"
        with translate(FOREIGN, doing):
            response = self._http.put(self._publish_url, json={"vm_id": vm, "port": port})
        if not response.is_success:
            raise wire.refusal(response.status_code, response.content, None, 0.0, doing)
        url: str = response.json()["url"]
        return url


class VersProvider:
    """Implements `vms.base.Provider`. Thread-safe.

    Only 408, 429, 5xx and transport errors are tried again, for at most `patience_s`, and only where a second try
    changes nothing: reads, deletes, labels, states, tags. Whether Vers honours X-Idempotency-Key is not known, so a
    create, branch or commit is tried again only if it was never sent.
    """

    answer_limit_s = CREATE_TIMEOUT_S

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        vm_domain: str,
        deployment_labels: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        address: Addresses | None = None,
        profile: Profile = Profile(),  # noqa: B008  # frozen
        patience_s: float = 60.0,
        first_wait_s: float = 0.25,
        new_key: Callable[[], str] = lambda: str(uuid.uuid4()),
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            url: the API, with or without /api/v1.
            api_key: 36 characters of key id, which is the `owner_id` of what is ours, then the secret.
            vm_domain: machines are reached at {vm}.{vm_domain}.
            deployment_labels: put on every machine besides the labels of each call.
            transport: another way to speak HTTP.
            profile: what is known of this installation; decides what is tried first.
            address: builds public addresses where they are not https://{vm}.{vm_domain}:{port}.
            patience_s: how long a repeatable call is repeated.
            first_wait_s: pause before the second try; it doubles from there.
            new_key: makes the X-Idempotency-Key of a call.
            now: seconds since the epoch.
        """
        self.vm_domain = vm_domain
        self._owner = api_key[:36]
        self._labels = dict(deployment_labels or {})
        self._address = address
        self._list_path = profile.list_path
        self._inherits = bool(profile.branch_inherits_labels)
        self._one_by_one = profile.branch_count == 1
        self._pause_words = _first(profile.pause_word, PAUSE_WORDS)
        self._calls = Calls(
            url, api_key, transport=transport, patience_s=patience_s, first_wait_s=first_wait_s, new_key=new_key, now=now
        )  # fmt: skip

    def close(self) -> None:
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Machines --------------------------------------------------------------------------------------

    def create(self, *, memory_mib: int, disk_mib: int, vcpus: int, labels: Mapping[str, str]) -> VmId:
        config = {
            "vcpu_count": vcpus,
            "mem_size_mib": memory_mib,
            "fs_size_mib": disk_mib,
            "labels": {**self._labels, **labels},
        }
        doing = "creating a machine"
        body = self._calls.creating("/vm/new_root", doing, {"vm_config": config}, {"wait_boot": "true"})
        vm = VmId(wire.read(wire.WireVmId, body, doing).vm_id)
        if self._inherits:
            self.label(vm, labels)  # its id, which nobody could know before
        return vm

    def branch(self, commit: CommitId, count: int = 1) -> list[VmId]:
        doing = f"branching {count} from commit {commit}"
        return self._branch(f"/vm/branch/by_commit/{_part(commit)}", doing, count)

    def branch_vm(self, vm: VmId, count: int = 1) -> list[VmId]:
        """At most `count` machines that go on from where a machine is now. They carry no labels yet."""
        return self._branch(f"/vm/branch/by_vm/{_part(vm)}", f"branching {count} from machine {vm}", count)

    def _branch(self, path: str, doing: str, count: int) -> list[VmId]:
        if self._one_by_one and count > 1:
            return self._branch_singly(path, doing, count)
        body = self._calls.creating(path, doing, None, {"count": str(count)})
        made = [VmId(vm.vm_id) for vm in wire.read(wire.WireBranched, body, doing).vms]
        for surplus in made[count:]:
            self.delete(surplus)
        if not made:
            raise Transient(f"{doing}: Vers named no machine; some may exist")
        return made[:count]

    def _branch_singly(self, path: str, doing: str, count: int) -> list[VmId]:
        made: list[VmId] = []
        for _ in range(count):
            try:
                made += self._branch(path, doing, 1)
            except BotError as error:
                if not made:
                    raise
                log.warning("%s: only %d: %s", doing, len(made), error)
                break
        return made

    def delete(self, vm: VmId) -> None:
        doing = f"deleting machine {vm}"
        try:
            self._calls.repeatable("DELETE", f"/vm/{_part(vm)}", doing, timeout_s=CREATE_TIMEOUT_S)
        except NotFound:
            return
        except Forbidden:
            # Vers answers 403, not 404, for a machine that is gone: only the list tells which it was. One of another
            # key is there, too: it bills, and a former key of ours may have made it.
            if any(listed.vm_id == vm for listed in self._listed()):
                raise

    def vms(self) -> list[VmInfo]:
        return [self._own(vm.info()) for vm in self._listed() if vm.owner_id == self._owner]

    def _listed(self) -> tuple[wire.WireVm, ...]:
        """The machines of all owners of an organisation; ours carry our key's id."""
        return wire.read(tuple[wire.WireVm, ...], self._list(), "listing machines")

    def _list(self) -> bytes:
        known, *others = _first(self._list_path, LIST_PATHS)
        try:
            return self._calls.repeatable("GET", known, "listing machines")
        except NotFound:
            for other in others:
                found = self._calls.repeatable("GET", other, "listing machines")
                self._list_path = other
                return found
            raise

    def status(self, vm: VmId) -> VmInfo:
        doing = f"asking for the state of {vm}"
        body = self._calls.repeatable("GET", f"/vm/{_part(vm)}/status", doing)
        return self._own(wire.read(wire.WireVm, body, doing).info())

    def _own(self, info: VmInfo) -> VmInfo:
        """Without labels that it only inherited, and without the one that tells them apart."""
        if not self._inherits:
            return info
        own = {name: value for name, value in info.labels.items() if name != _LABELLED}
        return replace(info, labels=own if info.labels.get(_LABELLED) == info.id else {})

    def metadata(self, vm: VmId) -> VmMetadata:
        doing = f"asking for the origin of {vm}"
        body = self._calls.repeatable("GET", f"/vm/{_part(vm)}/metadata", doing)
        return wire.read(wire.WireMetadata, body, doing).metadata()

    def label(self, vm: VmId, labels: Mapping[str, str]) -> None:
        own = {_LABELLED: vm} if self._inherits else {}
        body = {"labels": {**self._labels, **labels, **own}}
        self._calls.repeatable("PATCH", f"/vm/{_part(vm)}/label", f"labelling {vm}", json=body)

    def set_paused(self, vm: VmId, *, paused: bool) -> None:
        doing = f"{'pausing' if paused else 'resuming'} {vm}"
        path = f"/vm/{_part(vm)}/state"
        *others, last = self._pause_words if paused else ("Running",)
        for word in others:
            try:
                self._calls.repeatable("PATCH", path, doing, json={"state": word})
                return
            except (NotFound, Forbidden, Conflict):
                raise
            except Permanent:
                continue  # a server that does not know the word refuses it with 400 or 422
        self._calls.repeatable("PATCH", path, doing, json={"state": last})

    # Snapshots -------------------------------------------------------------------------------------

    def commit(self, vm: VmId, name: str) -> CommitId:
        doing = f"committing {vm} as {name}"
        ran = self.status(vm).state is VmState.RUNNING
        body = self._calls.creating(f"/vm/{_part(vm)}/commit", doing, {"name": name}, {})
        commit = CommitId(wire.read(wire.WireCommitId, body, doing).commit_id)
        if ran and self.status(vm).state is not VmState.RUNNING:
            self.set_paused(vm, paused=False)  # some servers leave it paused
        return commit

    def delete_commit(self, commit: CommitId) -> None:
        doing = f"deleting commit {commit}"
        try:
            self._calls.repeatable("DELETE", f"/commits/{_part(commit)}", doing)
        except NotFound:
            return
        except Forbidden:
            if any(listed.commit_id == commit for listed in self._listed_commits()):
                raise

    def commits(self) -> list[CommitInfo]:
        return [commit.info() for commit in self._listed_commits() if commit.owner_id == self._owner]

    def _listed_commits(self) -> list[wire.WireCommit]:
        found: list[wire.WireCommit] = []
        offset = 0
        while True:
            params = {"limit": str(_PAGE), "offset": str(offset)}
            body = self._calls.repeatable("GET", "/commits", "listing commits", params=params)
            page = wire.read(wire.WireCommitPage, body, "listing commits")
            found += page.commits
            offset += len(page.commits)
            if not page.commits or offset >= page.total:
                return found

    def tag(self, name: str, commit: CommitId) -> None:
        doing = f"tagging commit {commit} as {name}"
        try:
            self._calls.repeatable(
                "POST", "/commit_tags", doing, json={"tag_name": name, "commit_id": commit}
            )
        except Conflict:
            self._calls.repeatable("PATCH", f"/commit_tags/{_part(name)}", doing, json={"commit_id": commit})

    def tagged(self, name: str) -> CommitId | None:
        doing = f"looking up tag {name}"
        try:
            body = self._calls.repeatable("GET", f"/commit_tags/{_part(name)}", doing)
        except NotFound:
            return None
        return CommitId(wire.read(wire.WireCommitId, body, doing).commit_id)

    # Files, keys, addresses ------------------------------------------------------------------------

    def read_file(self, vm: VmId, path: str) -> bytes:
        doing = f"reading {path} of {vm}"
        body = self._calls.repeatable("GET", f"/vm/{_part(vm)}/files", doing, params={"path": path})
        return wire.read(wire.WireFile, body, doing).content()

    def write_file(self, vm: VmId, path: str, content: bytes, *, mode: int = 0o644) -> None:
        body = {
            "path": path,
            "content_b64": base64.b64encode(content).decode(),
            "mode": mode,
            "create_dirs": True,
        }
        self._calls.repeatable("PUT", f"/vm/{_part(vm)}/files", f"writing {path} of {vm}", json=body)

    def ssh_key(self, vm: VmId) -> SshKey:
        doing = f"reading the SSH key of {vm}"
        private = wire.read(
            wire.WireKey, self._calls.repeatable("GET", f"/vm/{_part(vm)}/ssh_key", doing), doing
        )
        words = self.read_file(vm, HOST_KEY_PATH).decode("ascii", "replace").split()
        if len(words) < 2 or not words[0].startswith("ssh-"):
            raise Permanent(f"{HOST_KEY_PATH} of {vm} is not a public key")
        return SshKey(private.ssh_private_key, f"{words[0]} {words[1]}")

    def logs(self, vm: VmId, stream: str | None = None) -> Iterator[tuple[str, bytes]]:
        """(stream, bytes) of what commands printed that were run over the API, oldest first."""
        doing, offset = f"reading the logs of {vm}", 0
        while True:
            params = {"offset": str(offset), **({"stream": stream} if stream else {})}
            body = self._calls.repeatable("GET", f"/vm/{_part(vm)}/logs", doing, params=params)
            page = wire.read(wire.WireLogs, body, doing)
            for entry in page.entries:
                yield entry.stream, wire.decoded(entry.data_b64)
            if page.eof or page.next_offset <= offset:
                return
            offset = page.next_offset

    def account_variables(self) -> dict[str, str]:
        doing = "reading the account's variables"
        return dict(
            wire.read(wire.WireVariables, self._calls.repeatable("GET", "/env_vars", doing), doing).vars
        )

    def public_url(self, vm: VmId, port: int) -> str:
        if self._address:
            return self._address(vm, port)
        return f"https://{vm}.{self.vm_domain}:{port}"


def _first(one: str, every: tuple[str, ...]) -> list[str]:
    return [one, *(each for each in every if each != one)]


def _part(text: str) -> str:
    """One segment of a path, so that an id can never name another path."""
    return quote(text, safe="")
