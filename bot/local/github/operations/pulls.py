"""Pull requests, their files and commits, merging, and comments on their lines."""

from dataclasses import replace

from bot.local.github import branches, conversation
from bot.local.github.api import Answer, Call, handles
from bot.local.github.operations.issues import apply, must_own
from bot.local.github.records import Issue, Pull, ReviewComment
from bot.local.github.refusals import Refusal, invalid, not_found
from bot.local.github.shapes import code

MOST_FILES = 3000


def the_pull(call: Call) -> tuple[Pull, Issue]:
    """The pull request of the path."""
    pull = call.world.pull(call.repo, call.number("pull_number"))
    if pull is None:
        raise not_found()
    return pull, call.issue("pull_number")


@handles("pulls/create")
def create(call: Call) -> Answer:
    fields = call.fields
    if fields.get("title") is None:
        raise invalid("PullRequest", "title", "missing_field")
    pull, issue = branches.open_pull(
        call.world,
        call.repo,
        title=fields["title"],
        body=fields.get("body"),
        head=fields["head"],
        base=fields["base"],
        draft=bool(fields.get("draft")),
        author=call.caller.login,
        via_app=call.caller.via_app,
    )
    return Answer(201, code.pull(call.world, call.repo, pull, issue))


@handles("pulls/get")
def get(call: Call) -> Answer:
    pull, issue = the_pull(call)
    return Answer(200, code.pull(call.world, call.repo, pull, issue, settled=True))


@handles("pulls/update")
def update(call: Call) -> Answer:
    pull, issue = the_pull(call)
    must_own(call, issue.author)
    fields = call.fields
    if (base := fields.get("base")) and base != pull.base:
        sha = call.git.resolve(f"refs/heads/{base}")
        if sha is None:
            raise invalid("PullRequest", "base")
        call.world.store.pulls.put(replace(pull, base=base, base_sha=sha))
    issue = apply(call, issue, fields)
    pull = conversation.the_pull(call.world, call.repo, issue)
    return Answer(200, code.pull(call.world, call.repo, pull, issue))


@handles("pulls/list")
def list_pulls(call: Call) -> Answer:
    state, head, base = (call.query.get(name, "") for name in ("state", "head", "base"))
    owner, _, branch = head.rpartition(":")
    found = []
    for pull in call.world.store.pulls.where(repo=call.repo.id):
        issue = call.world.issue(call.repo, pull.number)
        if issue is None or (state or "open") not in ("all", issue.state):
            continue
        # A head without its owner is no filter for GitHub, which then lists everything.
        if owner and (owner != call.repo.owner or branch != pull.head):
            continue
        if base in ("", pull.base):
            found.append((pull, issue))
    descending = call.query.get("direction", "desc") == "desc"
    found.sort(key=lambda pair: pair[0].number, reverse=descending)
    return call.page(found, lambda pair: code.pull(call.world, call.repo, *pair))


@handles("pulls/list-files")
def list_files(call: Call) -> Answer:
    pull, _ = the_pull(call)
    files = call.git.diff(call.git.merge_base(pull.base_sha, pull.head_sha), pull.head_sha)
    return call.page(
        files[:MOST_FILES], lambda file: code.file_diff(call.world, call.repo, pull.head_sha, file)
    )


@handles("pulls/list-commits")
def list_commits(call: Call) -> Answer:
    pull, _ = the_pull(call)
    shas = call.git.log(pull.head_sha, exclude=pull.base_sha)[::-1]
    return call.page(shas, lambda sha: code.commit_of(call.world, call.repo, call.git.read_commit(sha)))


@handles("pulls/check-if-merged")
def check_if_merged(call: Call) -> Answer:
    pull, _ = the_pull(call)
    if pull.merged_at is None:
        raise not_found()
    return Answer(204)


@handles("pulls/merge")
def merge(call: Call) -> Answer:
    pull, issue = the_pull(call)
    wanted = call.fields.get("sha")
    if wanted and wanted != pull.head_sha:
        raise Refusal(409, "Head branch was modified. Review and try the merge again.")
    app = call.caller.app if call.caller.installation else None
    sha = branches.merge(call.world, call.repo, pull, issue, call.caller.login, app)
    return Answer(200, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


@handles("pulls/create-review-comment")
def create_review_comment(call: Call) -> Answer:
    pull, issue = the_pull(call)
    fields = call.fields
    conversation.check_text(
        "PullRequestReviewComment", "body", fields["body"], required=True, longest=conversation.LONGEST_BODY
    )
    files = call.git.diff(call.git.merge_base(pull.base_sha, pull.head_sha), pull.head_sha)
    file = next((each for each in files if each.path == fields["path"]), None)
    if file is None:
        raise invalid("PullRequestReviewComment", "path", "invalid", "path is not part of the pull request")
    made = call.world.store.review_comments.put(
        ReviewComment(
            id=call.world.store.next_id(),
            repo=call.repo.id,
            number=pull.number,
            review_id=call.world.store.next_id(),
            author=call.caller.login,
            body=fields["body"],
            path=fields["path"],
            line=fields.get("line"),
            side=fields.get("side") or "RIGHT",
            commit_sha=fields["commit_id"],
            diff_hunk=(file.patch or "")[:2000],
            in_reply_to=fields.get("in_reply_to"),
            created_at=call.world.now(),
        )
    )
    payload = {
        "comment": code.review_comment(call.world, call.repo, made),
        "pull_request": code.pull(call.world, call.repo, pull, issue),
    }
    call.world.emit("pull_request_review_comment", "created", call.repo, payload, call.caller.login)
    return Answer(201, payload["comment"])


@handles("pulls/list-review-comments")
def list_review_comments(call: Call) -> Answer:
    pull, _ = the_pull(call)
    found = call.world.store.review_comments.where(repo=call.repo.id, number=pull.number)
    return call.page(found, lambda comment: code.review_comment(call.world, call.repo, comment))
