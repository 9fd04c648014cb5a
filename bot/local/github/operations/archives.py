"""A repository's files as an archive: the API points to another address, which serves it to whoever has it."""

import subprocess
from urllib.parse import quote

from bot.local.github import tickets
from bot.local.github.api import Answer, Call, handles
from bot.local.github.gitstore import environment
from bot.local.github.records import Repository
from bot.local.github.refusals import not_found
from bot.local.github.world import World


@handles("repos/download-tarball-archive")
def tarball(call: Call) -> Answer:
    ref = call.params["ref"] or call.repo.default_branch
    token = tickets.ticket(call.world, _what(call.repo, ref))
    where = f"{call.world.web_url}/{call.repo.full_name}/legacy.tar.gz/{quote(ref)}?token={token}"
    return Answer(302, None, {"Location": where})


def serve(world: World, owner: str, name: str, ref: str, token: str) -> bytes:
    """The archive as GitHub makes it: gzipped, everything below one folder "owner-name-sha", `.gitattributes` applied.

    Raises:
        Refusal: 404 for an unknown commit, or without a ticket that is still good.
    """
    repo = world.repository(owner, name)
    sha = world.git(repo).resolve(ref) if repo else None
    if repo is None or sha is None or not tickets.good(world, _what(repo, ref), token):
        raise not_found()
    prefix = f"--prefix={repo.full_name.replace('/', '-')}-{sha[:7]}/"
    argv = ["git", "archive", "--format=tar.gz", prefix, sha]
    done = subprocess.run(argv, capture_output=True, check=True, env=environment(world.git(repo).path))
    return done.stdout


def _what(repo: Repository, ref: str) -> str:
    return f"archive {repo.id} {ref}"
