"""Bare git repositories through git's own plumbing: object ids, modes, diffs and fast-forward checks are real.

Every function of `GitRepository` takes and gives full 40-character object ids; text from git is decoded leniently,
because a commit message or a path may hold any bytes.
"""

import base64
import hashlib
import hmac
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ZERO = "0" * 40
SHA = re.compile(r"[0-9a-f]{40}")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_SIGNATURE_END = "-----END PGP SIGNATURE-----"
# Nothing of the machine's own configuration, editors, prompts or hooks may reach these repositories.
_ENVIRONMENT = {
    "PATH": os.defpath,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    "HOME": "/nonexistent",
}


class GitFailed(Exception):
    """git ended with an error; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One line of a tree. `size_bytes` is None for everything but blobs."""

    path: str
    mode: str
    type: str
    sha: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One wish of an incremental tree: `sha` None removes the path."""

    path: str
    mode: str
    sha: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """Author or committer. `date` is RFC 3339 or git's own "seconds zone"."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as it lies in the repository. `signature` and `payload` are None for an unsigned one."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str
    signature: str | None = None
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """One file between two trees. `patch` is None for binary files; `sha` is that of the newer blob."""

    path: str
    previous_path: str | None
    status: str
    """"added", "removed", "modified" or "renamed"."""
    additions: int
    deletions: int
    sha: str | None
    patch: str | None


class GitRepository:
    """One bare repository."""

    def __init__(self, path: Path, signing_key: bytes) -> None:
        self.path = path
        self._signing_key = signing_key

    def create(self, default_branch: str) -> None:
        """Make the empty repository."""
        self.path.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", f"--initial-branch={default_branch}")
        self._git("config", "http.receivepack", "true")
        self._git("config", "uploadpack.allowAnySHA1InWant", "true")
        self._git("config", "core.logAllRefUpdates", "false")
        self._git("config", "gc.auto", "0")

    def refs(self, prefix: str = "refs/") -> dict[str, str]:
        """Full ref name -> object id, sorted by name."""
        out = self._text("for-each-ref", "--format=%(objectname) %(refname)")
        pairs = (line.split(" ", 1) for line in out.splitlines())
        return {name: sha for sha, name in pairs if name.startswith(prefix)}

    def is_empty(self) -> bool:
        """Whether the repository has no commit that a branch or tag reaches."""
        return not self._text("for-each-ref", "--count=1")

    def resolve(self, name: str) -> str | None:
        """The commit of a branch, tag, full ref or commit id; None if there is none."""
        for full in (name, f"refs/heads/{name}", f"refs/tags/{name}", f"refs/{name}"):
            if full.startswith("refs/") or SHA.fullmatch(full):
                done = self._run("rev-parse", "--verify", "--quiet", f"{full}^{{commit}}", check=False)
                if done.returncode == 0:
                    return done.stdout.decode().strip()
        return None

    def set_ref(self, name: str, new: str, old: str | None) -> None:
        """Point a ref at an object. `old` None: it must not exist yet.

        Raises:
            GitFailed: the ref is not where `old` says, or its name is not possible.
        """
        self._git("update-ref", name, new, old or ZERO)

    def delete_ref(self, name: str) -> None:
        """Remove a ref."""
        self._git("update-ref", "-d", name)

    def types(self, shas: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Object id -> (type, size in bytes); unknown objects are left out."""
        lines = self._run("cat-file", "--batch-check", stdin="\n".join(shas).encode() + b"\n").stdout.decode()
        found = {}
        for line in lines.splitlines():
            words = line.split(" ")
            if len(words) == 3:
                found[words[0]] = (words[1], int(words[2]))
        return found

    def write_blobs(self, contents: Sequence[bytes]) -> list[str]:
        """Store blobs with one process for all of them; ids in the order of `contents`."""
        if not contents:
            return []
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            names = []
            for number, content in enumerate(contents):
                file = Path(folder) / str(number)
                file.write_bytes(content)
                names.append(str(file))
            out = self._run(
                "hash-object", "-w", "--no-filters", "--stdin-paths", stdin="\n".join(names).encode()
            )
        return out.stdout.decode().split()

    def read_blob(self, sha: str) -> bytes:
        """The bytes of a blob."""
        return self._run("cat-file", "blob", sha).stdout

    def write_tree(self, base: str | None, changes: Sequence[Change]) -> str:
        """The tree that results from `base` (a tree or commit, None for an empty tree) and the changes.

        Raises:
            GitFailed: an object is missing or a path is not possible.
        """
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            self._run("read-tree", *([base] if base else ["--empty"]), env=index)
            lines = [line for change in changes for line in self._index_lines(change)]
            if lines:
                # --replace: a file may take the place of a folder, and the other way round.
                arguments = ("update-index", "-z", "--add", "--replace", "--index-info")
                self._run(*arguments, stdin="".join(f"{line}\0" for line in lines).encode(), env=index)
            return self._run("write-tree", env=index).stdout.decode().strip()

    def _index_lines(self, change: Change) -> list[str]:
        remove = f"0 {ZERO}\t{change.path}"
        if change.sha is None:
            return [remove]
        if change.mode != "040000":
            return [f"{change.mode} {change.sha}\t{change.path}"]
        # A folder takes the place of what was there: a file put in its place first drops everything below.
        inside = [entry for entry in self.read_tree(change.sha, recursive=True) if entry.type != "tree"]
        below = [f"{entry.mode} {entry.sha}\t{change.path}/{entry.path}" for entry in inside]
        return [f"100644 {change.sha}\t{change.path}", remove, *below]

    def read_tree(self, sha: str, *, recursive: bool) -> list[TreeEntry]:
        """The entries of a tree or commit; with `recursive`, of all folders below it as well."""
        flags = ["-r", "-t"] if recursive else []
        out = self._run("ls-tree", "-z", "-l", *flags, sha).stdout.decode(errors="replace")
        entries = []
        for line in out.split("\0")[:-1]:
            head, path = line.split("\t", 1)
            mode, kind, name, size = head.split()
            entries.append(TreeEntry(path, mode, kind, name, None if size == "-" else int(size)))
        return entries

    def entry(self, commit: str, path: str) -> TreeEntry | None:
        """What lies under a path in a commit, or None."""
        out = self._run("ls-tree", "-z", "-l", commit, "--", path).stdout.decode(errors="replace")
        if not out:
            return None
        mode, kind, name, size = out.rstrip("\0").split("\t", 1)[0].split()
        return TreeEntry(path, mode, kind, name, None if size == "-" else int(size))

    def write_commit(
        self,
        tree: str,
        parents: Sequence[str],
        message: str,
        author: Person,
        committer: Person,
        *,
        signed: bool,
    ) -> str:
        """Store a commit object. A signed one carries a signature that only this stand-in can make."""
        head = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        head += [f"author {_stamp(author)}", f"committer {_stamp(committer)}"]
        payload = "\n".join(head) + f"\n\n{message}"
        if signed:
            signature = self._signature(payload).replace("\n", "\n ")
            payload = "\n".join([*head, f"gpgsig {signature}"]) + f"\n\n{message}"
        done = self._run("hash-object", "-t", "commit", "-w", "--stdin", stdin=payload.encode())
        return done.stdout.decode().strip()

    def read_commit(self, sha: str) -> Commit:
        """The commit of an id.

        Raises:
            GitFailed: there is no such commit.
        """
        raw = self._run("cat-file", "commit", sha).stdout.decode(errors="replace")
        head, _, message = raw.partition("\n\n")
        fields: dict[str, list[str]] = {}
        name = ""
        for line in head.split("\n"):
            if line.startswith(" "):
                fields[name][-1] += "\n" + line[1:]
            else:
                name, _, value = line.partition(" ")
                fields.setdefault(name, []).append(value)
        signature = fields.get("gpgsig", [None])[0]
        payload = None
        if signature is not None:
            unsigned = re.sub(r"\ngpgsig [^\n]*(\n [^\n]*)*", "", head)
            payload = f"{unsigned}\n\n{message}"
        return Commit(
            sha=sha,
            tree=fields["tree"][0],
            parents=tuple(fields.get("parent", ())),
            author=_person(fields["author"][0]),
            committer=_person(fields["committer"][0]),
            message=message,
            signature=signature,
            payload=payload,
        )

    def is_verified(self, commit: Commit) -> bool:
        """Whether this stand-in signed the commit."""
        if commit.signature is None or commit.payload is None:
            return False
        return hmac.compare_digest(commit.signature, self._signature(commit.payload))

    def log(self, start: str, *, exclude: str | None = None, limit: int = 250, path: str = "") -> list[str]:
        """Commit ids reachable from `start` and not from `exclude`, newest first."""
        arguments = [start, *([f"^{exclude}"] if exclude else [])]
        tail = ["--", path] if path else ["--"]
        return self._text("rev-list", f"--max-count={limit}", *arguments, *tail).split()

    def count(self, start: str, exclude: str) -> int:
        """How many commits `start` has that `exclude` does not."""
        return int(self._text("rev-list", "--count", start, f"^{exclude}", "--"))

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether going from `old` to `new` is a fast-forward."""
        return self._run("merge-base", "--is-ancestor", old, new, check=False).returncode == 0

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor, or None."""
        done = self._run("merge-base", one, other, check=False)
        return done.stdout.decode().strip() or None

    def merge_tree(self, base: str, head: str) -> str | None:
        """The tree of merging two commits, or None when they conflict."""
        done = self._run("merge-tree", "--write-tree", base, head, check=False)
        return done.stdout.decode().split("\n")[0] if done.returncode == 0 else None

    def diff(self, old: str | None, new: str) -> list[FileDiff]:
        """The files that differ from `old` (None: the empty tree) to `new`, with patches."""
        arguments = ["diff-tree", "-r", "-M", "--no-commit-id", "--full-index", old or EMPTY_TREE, new]
        raw = self._run(*arguments, "--raw", "-z").stdout.decode(errors="replace").split("\0")[:-1]
        numbers = self._run(*arguments, "--numstat", "-z").stdout.decode(errors="replace").split("\0")[:-1]
        patches = _split_patch(self._run(*arguments, "--patch").stdout.decode(errors="replace"))
        counts = _numstat(numbers)
        out: list[FileDiff] = []
        position = 0
        while position < len(raw):
            words = raw[position].split(" ")
            letter = words[4][0]
            old_path = raw[position + 1]
            path = raw[position + 2] if letter in "RC" else old_path
            position += 3 if letter in "RC" else 2
            added, deleted = counts.get(path, (0, 0))
            out.append(
                FileDiff(
                    path=path,
                    previous_path=old_path if letter in "RC" else None,
                    status={"A": "added", "D": "removed", "R": "renamed", "C": "copied"}.get(
                        letter, "modified"
                    ),
                    additions=added,
                    deletions=deleted,
                    sha=words[2] if letter == "D" else words[3],
                    patch=patches[len(out)] if len(out) < len(patches) else None,
                )
            )
        return out

    def _signature(self, payload: str) -> str:
        digest = hmac.digest(self._signing_key, payload.encode(errors="surrogateescape"), hashlib.sha512)
        text = base64.b64encode(digest).decode()
        lines = [text[start : start + 64] for start in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN PGP SIGNATURE-----", "", *lines, _SIGNATURE_END])

    def _git(self, *arguments: str) -> None:
        self._run(*arguments)

    def _text(self, *arguments: str) -> str:
        return self._run(*arguments).stdout.decode(errors="replace").strip()

    def _run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            input=stdin,
            capture_output=True,
            env={**_ENVIRONMENT, "GIT_DIR": str(self.path), **(env or {})},
            check=False,
        )
        if check and done.returncode != 0:
            raise GitFailed(done.stderr.decode(errors="replace").strip())
        return done


def environment(repository: Path) -> dict[str, str]:
    """Environment for a git program that works on a repository outside of `GitRepository`."""
    return {**_ENVIRONMENT, "GIT_DIR": str(repository)}


def _stamp(person: Person) -> str:
    # git refuses line ends and angle brackets in names; GitHub strips them.
    clean = re.sub(r"[<>\n\0]", "", person.name).strip() or person.email
    return f"{clean} <{person.email}> {person.date}"


def _person(line: str) -> Person:
    name, _, rest = line.partition(" <")
    email, _, date = rest.partition("> ")
    return Person(name, email, date)


def _numstat(fields: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Lines of `--numstat -z`: counts and path, or for renames an empty path and two fields more."""
    out: dict[str, tuple[int, int]] = {}
    position = 0
    while position < len(fields):
        added, deleted, path = fields[position].split("\t", 2)
        position += 1
        if not path:
            path = fields[position + 1]
            position += 2
        out[path] = (0, 0) if added == "-" else (int(added), int(deleted))
    return out


def _split_patch(text: str) -> list[str | None]:
    """The hunks of each file of a patch, in order; None for a file without any (binary, or a pure rename)."""
    parts = re.split(r"^diff --git .*\n", text, flags=re.MULTILINE)[1:]
    out: list[str | None] = []
    for part in parts:
        start = re.search(r"^@@ ", part, re.MULTILINE)
        out.append(part[start.start() :].rstrip("\n") if start else None)
    return out
