"""Check runs and check suites. Only Apps write them."""

from dataclasses import replace
from typing import Any

from bot.local.github import branches
from bot.local.github.api import Answer, Call, handles
from bot.local.github.records import App, CheckRun, CheckSuite, Repository
from bot.local.github.refusals import Refusal, invalid, not_found, unprocessable
from bot.local.github.shapes import common, delivery
from bot.local.github.world import World


def the_app(call: Call) -> App:
    """The App that calls.

    Raises:
        Refusal: 403 for a person.
    """
    if call.caller.app is None:
        raise Refusal(403, "You must authenticate via a GitHub App.")
    return call.caller.app


def the_run(call: Call) -> CheckRun:
    """The check run of the path."""
    found = call.world.store.check_runs.get(call.number("check_run_id"))
    if found is None or found.repo != call.repo.id:
        raise not_found()
    return found


def tell(world: World, repo: Repository, run: CheckRun, action: str, sender: str, **extra: Any) -> None:
    """Emit `check_run.<action>`; clicks go to the App that made the run, and to no other."""
    payload: dict[str, Any] = {"check_run": delivery.check_run(world, repo, run, in_webhook=True), **extra}
    if action in ("requested_action", "rerequested"):
        payload["_app"] = run.app_id
    world.emit("check_run", action, repo, payload, sender)


@handles("checks/create")
def create(call: Call) -> Answer:
    app, fields = the_app(call), call.fields
    sha = fields["head_sha"]
    if call.git.types([sha]).get(sha, ("", 0))[0] != "commit":
        raise unprocessable(f"No commit found for SHA: {sha}")
    now = call.world.now()
    blank = CheckRun(
        id=call.world.store.next_id(),
        repo=call.repo.id,
        suite=branches.suite(call.world, call.repo, app, sha).id,
        app_id=app.id,
        name=fields["name"],
        head_sha=sha,
        status="queued",
        conclusion=None,
        started_at=fields.get("started_at") or now,
        completed_at=None,
        details_url=None,
        external_id="",
    )
    run = written(call, blank)
    tell(call.world, call.repo, run, "created", call.caller.login)
    if run.status == "completed":
        tell(call.world, call.repo, run, "completed", call.caller.login)
    return Answer(201, delivery.check_run(call.world, call.repo, run))


@handles("checks/update")
def update(call: Call) -> Answer:
    old = the_run(call)
    if the_app(call).id != old.app_id:
        raise Refusal(403, "Invalid app_id `check_run` was not created by this App.")
    run = written(call, old)
    if run.status == "completed" and old.status != "completed":
        tell(call.world, call.repo, run, "completed", call.caller.login)
    return Answer(200, delivery.check_run(call.world, call.repo, run))


def written(call: Call, run: CheckRun) -> CheckRun:
    """A run with the fields of the request; a conclusion completes it, annotations add up.

    Raises:
        Refusal: 422.
    """
    fields = call.fields
    conclusion = fields.get("conclusion", run.conclusion)
    status = "completed" if "conclusion" in fields else fields.get("status", run.status)
    if status == "completed" and conclusion is None:
        raise invalid("CheckRun", "conclusion", "missing_field")
    if status != "completed":
        conclusion = None
    output = fields.get("output")
    if output is not None and (not output.get("title") or "summary" not in output):
        raise invalid("CheckRun", "output.title", "missing_field")
    done_at = fields.get("completed_at") or run.completed_at or call.world.now()
    new = replace(
        run,
        name=fields.get("name", run.name),
        status=status,
        conclusion=conclusion,
        completed_at=done_at if status == "completed" else None,
        details_url=fields.get("details_url", run.details_url),
        external_id=fields.get("external_id", run.external_id),
        output={k: output.get(k) for k in ("title", "summary", "text")} if output else run.output,
        annotations=(*run.annotations, *((output or {}).get("annotations") or ())),
        actions=tuple(fields.get("actions", run.actions)),
    )
    return call.world.store.check_runs.put(new)


@handles("checks/get")
def get(call: Call) -> Answer:
    return Answer(200, delivery.check_run(call.world, call.repo, the_run(call)))


def run_page(call: Call, runs: list[CheckRun]) -> Answer:
    """A list of check runs, filtered as the query says; of the same name only the latest unless `filter=all`."""
    for field, key in (("name", "check_name"), ("status", "status")):
        if key in call.query:
            runs = [run for run in runs if getattr(run, field) == call.query[key]]
    if "app_id" in call.query:
        runs = [run for run in runs if run.app_id == int(call.query["app_id"])]
    if call.query.get("filter", "latest") == "latest":
        runs = list({(run.app_id, run.name): run for run in runs}.values())
    return call.page(runs, lambda run: delivery.check_run(call.world, call.repo, run), key="check_runs")


@handles("checks/list-for-ref")
def list_for_ref(call: Call) -> Answer:
    sha = call.git.resolve(call.params["ref"])
    if sha is None:
        raise unprocessable(f"No commit found for SHA: {call.params['ref']}")
    return run_page(call, call.world.store.check_runs.where(repo=call.repo.id, head_sha=sha))


@handles("checks/list-annotations")
def list_annotations(call: Call) -> Answer:
    run = the_run(call)
    blank = {
        "path": "",
        "start_line": 1,
        "end_line": 1,
        "start_column": None,
        "end_column": None,
        "annotation_level": None,
        "title": None,
        "message": None,
        "raw_details": None,
        "blob_href": f"{call.world.web_url}/{call.repo.full_name}/blob/{run.head_sha}",
    }
    return call.page(run.annotations, lambda annotation: blank | annotation)


@handles("checks/rerequest-run")
def rerequest(call: Call) -> Answer:
    run = the_run(call)
    tell(call.world, call.repo, run, "rerequested", call.caller.login)
    return Answer(201, {})


@handles("checks/set-suites-preferences")
def set_preferences(call: Call) -> Answer:
    wanted = call.fields.get("auto_trigger_checks") or []
    body = {
        "preferences": {"auto_trigger_checks": wanted},
        "repository": common.repository(call.world, call.repo),
    }
    return Answer(200, body)


def the_suite(call: Call) -> CheckSuite:
    """The check suite of the path."""
    found = call.world.store.check_suites.get(call.number("check_suite_id"))
    if found is None or found.repo != call.repo.id:
        raise not_found()
    return found


@handles("checks/get-suite")
def get_suite(call: Call) -> Answer:
    return Answer(200, delivery.check_suite(call.world, call.repo, the_suite(call)))


@handles("checks/list-for-suite")
def list_for_suite(call: Call) -> Answer:
    return run_page(call, call.world.store.check_runs.where(suite=the_suite(call).id))


@handles("checks/list-suites-for-ref")
def list_suites(call: Call) -> Answer:
    sha = call.git.resolve(call.params["ref"])
    found = call.world.store.check_suites.where(repo=call.repo.id, head_sha=sha)
    return call.page(
        found, lambda suite: delivery.check_suite(call.world, call.repo, suite), key="check_suites"
    )
