"""A repository's files as an archive: the API points to another address, which serves it to whoever has it."""

import hashlib
import hmac
import subprocess
from urllib.parse import quote

from bot.local.github.api import Answer, Call, handles
from bot.local.github.gitstore import environment
from bot.local.github.records import Repository
from bot.local.github.refusals import not_found
from bot.local.github.world import World

LIVES_S = 300
"""How long the address of an archive works."""


def ticket(world: World, repo: Repository, ref: str, until: int) -> str:
    """What proves that the API gave somebody this address."""
    text = f"{repo.id} {ref} {until}".encode()
    key = str(world.store.folder).encode()  # nobody but this server has to be kept out of a stand-in
    return f"{until}.{hmac.new(key, text, hashlib.sha256).hexdigest()[:32]}"


@handles("repos/download-tarball-archive")
def tarball(call: Call) -> Answer:
    ref = call.params["ref"] or call.repo.default_branch
    until = int(call.world.clock().timestamp()) + LIVES_S
    token = ticket(call.world, call.repo, ref, until)
    where = f"{call.world.web_url}/{call.repo.full_name}/legacy.tar.gz/{quote(ref)}?token={token}"
    return Answer(302, None, {"Location": where})


def serve(world: World, owner: str, name: str, ref: str, token: str) -> bytes:
    """The archive as GitHub makes it: gzipped, everything below one folder "owner-name-sha", `.gitattributes` applied.

    Raises:
        Refusal: 404 for an unknown commit, or without a ticket that is still good.
    """
    repo = world.repository(owner, name)
    until = token.partition(".")[0]
    if repo is None or not until.isdigit() or int(until) < world.clock().timestamp():
        raise not_found()
    sha = world.git(repo).resolve(ref)
    if sha is None or not hmac.compare_digest(token, ticket(world, repo, ref, int(until))):
        raise not_found()
    prefix = f"--prefix={repo.full_name.replace('/', '-')}-{sha[:7]}/"
    argv = ["git", "archive", "--format=tar.gz", prefix, sha]
    done = subprocess.run(argv, capture_output=True, check=True, env=environment(world.git(repo).path))
    return done.stdout
