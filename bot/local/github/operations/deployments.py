"""Deployments, their statuses, and environments."""

from bot.local.github import branches
from bot.local.github.api import Answer, Call, handles
from bot.local.github.records import Deployment, DeploymentStatus, Environment
from bot.local.github.refusals import Refusal, not_found, unprocessable
from bot.local.github.shapes import delivery
from bot.local.github.world import World

LONGEST_DESCRIPTION = 140
_GREEN = ("success", "neutral", "skipped")


def the_deployment(call: Call) -> Deployment:
    """The deployment of the path."""
    found = call.world.store.deployments.get(call.number("deployment_id"))
    if found is None or found.repo != call.repo.id:
        raise not_found()
    return found


def statuses_of(world: World, found: Deployment) -> list[DeploymentStatus]:
    """The statuses of a deployment, oldest first."""
    return world.store.deployment_statuses.where(deployment=found.id)


@handles("repos/create-deployment")
def create(call: Call) -> Answer:
    fields, ref = call.fields, call.fields["ref"]
    sha = call.git.resolve(ref)
    if sha is None:
        raise unprocessable(f"No ref found for: {ref}")
    if fields.get("auto_merge", True) and (merged := auto_merge(call, ref)):
        return merged
    must_be_green(call, ref, sha)
    description = fields.get("description") or ""
    name = fields.get("environment") or "production"
    if not call.world.store.environments.one(repo=call.repo.id, name=name):
        made = Environment(call.world.store.next_id(), call.repo.id, name, call.world.now())
        call.world.store.environments.put(made)
    new = call.world.store.deployments.put(
        Deployment(
            id=call.world.store.next_id(),
            repo=call.repo.id,
            sha=sha,
            ref=ref,
            task=fields.get("task") or "deploy",
            environment=name,
            description=description,
            payload=fields.get("payload") or {},
            transient=bool(fields.get("transient_environment")),
            production=bool(fields.get("production_environment", name == "production")),
            creator=call.caller.login,
            created_at=call.world.now(),
            via_app=call.caller.via_app,
        )
    )
    shape = delivery.deployment(call.world, call.repo, new)
    payload = {"deployment": shape, "workflow": None, "workflow_run": None}
    call.world.emit("deployment", "created", call.repo, payload, call.caller.login)
    return Answer(201, shape)


def auto_merge(call: Call, ref: str) -> Answer | None:
    """GitHub's surprising default: the default branch is first merged into a deployed branch that lacks it."""
    git, repo = call.git, call.repo
    branch = git.resolve(f"refs/heads/{ref}")
    base = git.resolve(f"refs/heads/{repo.default_branch}")
    if branch is None or base is None or git.is_ancestor(base, branch):
        return None
    tree = git.merge_tree(branch, base)
    if tree is None:
        raise Refusal(409, f"Conflict merging {repo.default_branch} into {ref}.")
    message = f"Auto-merged {repo.default_branch} into {ref} on deployment."
    app = call.caller.app if call.caller.installation else None
    sha = branches.commit(call.world, repo, tree, [branch, base], message, call.caller.login, app)
    branches.update(call.world, repo, f"refs/heads/{ref}", sha, call.caller.login, force=False)
    return Answer(202, {"message": message})


def must_be_green(call: Call, ref: str, sha: str) -> None:
    """Refuse while checks of the commit are not green; by default all of them count.

    Raises:
        Refusal: 409 that names them.
    """
    statuses = {
        s.context: s.state for s in call.world.store.commit_statuses.where(repo=call.repo.id, sha=sha)
    }
    runs = call.world.store.check_runs.where(repo=call.repo.id, head_sha=sha)
    statuses |= {run.name: run.conclusion or "pending" for run in runs}
    required = call.fields.get("required_contexts")
    names = list(statuses) if required is None else required
    red = [name for name in names if statuses.get(name, "pending") not in _GREEN]
    if red:
        error = {"resource": "Deployment", "field": "required_contexts", "code": "invalid"}
        message = f"Conflict: Commit status checks failed for {ref}."
        raise Refusal(409, message, errors=[error | {"message": ", ".join(red)}])


@handles("repos/list-deployments")
def list_deployments(call: Call) -> Answer:
    wanted = {key: call.query[key] for key in ("sha", "ref", "task", "environment") if key in call.query}
    found = call.world.store.deployments.where(repo=call.repo.id, **wanted)[::-1]
    return call.page(found, lambda each: delivery.deployment(call.world, call.repo, each))


@handles("repos/get-deployment")
def get(call: Call) -> Answer:
    return Answer(200, delivery.deployment(call.world, call.repo, the_deployment(call)))


@handles("repos/delete-deployment")
def delete(call: Call) -> Answer:
    found = the_deployment(call)
    others = call.world.store.deployments.where(repo=call.repo.id, environment=found.environment)
    statuses = statuses_of(call.world, found)
    if len(others) > 1 and not (statuses and statuses[-1].state == "inactive"):
        raise unprocessable(
            "We cannot delete an active deployment unless it is the only deployment in a given environment."
        )
    for status in statuses:
        call.world.store.deployment_statuses.drop(status.id)
    call.world.store.deployments.drop(found.id)
    return Answer(204)


@handles("repos/create-deployment-status")
def create_status(call: Call) -> Answer:
    found, fields = the_deployment(call), call.fields
    if len(fields.get("description") or "") > LONGEST_DESCRIPTION:
        raise unprocessable("description is too long (maximum is 140 characters)")
    if fields["state"] == "success" and fields.get("auto_inactive", True):
        retire_others(call, found)
    made = add_status(
        call,
        found,
        state=fields["state"],
        description=fields.get("description") or "",
        environment_url=fields.get("environment_url") or "",
        log_url=fields.get("log_url") or fields.get("target_url") or "",
    )
    return Answer(201, delivery.deployment_status(call.world, call.repo, made))


def retire_others(call: Call, found: Deployment) -> None:
    """`auto_inactive`: earlier deployments of the environment, but only those that are neither transient nor production."""
    for other in call.world.store.deployments.where(repo=call.repo.id, environment=found.environment):
        statuses = statuses_of(call.world, other)
        standing = statuses and statuses[-1].state == "success"
        if other.id < found.id and standing and not other.transient and not other.production:
            add_status(call, other, state="inactive", description="", environment_url="", log_url="")


def add_status(
    call: Call, found: Deployment, *, state: str, description: str, environment_url: str, log_url: str
) -> DeploymentStatus:
    """Add a status and send `deployment_status.created`."""
    made = call.world.store.deployment_statuses.put(
        DeploymentStatus(
            id=call.world.store.next_id(),
            repo=call.repo.id,
            deployment=found.id,
            state=state,
            description=description,
            environment=found.environment,
            environment_url=environment_url,
            log_url=log_url,
            creator=call.caller.login,
            created_at=call.world.now(),
            via_app=call.caller.via_app,
        )
    )
    payload = {
        "deployment": delivery.deployment(call.world, call.repo, found),
        "deployment_status": delivery.deployment_status(call.world, call.repo, made),
        "workflow": None,
        "workflow_run": None,
        "check_run": None,
    }
    call.world.emit("deployment_status", "created", call.repo, payload, call.caller.login)
    return made


@handles("repos/list-deployment-statuses")
def list_statuses(call: Call) -> Answer:
    found = statuses_of(call.world, the_deployment(call))[::-1]
    return call.page(found, lambda each: delivery.deployment_status(call.world, call.repo, each))


@handles("repos/get-deployment-status")
def get_status(call: Call) -> Answer:
    found = call.world.store.deployment_statuses.get(call.number("status_id"))
    if found is None or found.deployment != the_deployment(call).id:
        raise not_found()
    return Answer(200, delivery.deployment_status(call.world, call.repo, found))


@handles("repos/get-all-environments")
def list_environments(call: Call) -> Answer:
    found = call.world.store.environments.where(repo=call.repo.id)
    return call.page(
        found, lambda each: delivery.environment(call.world, call.repo, each), key="environments"
    )


def the_environment(call: Call) -> Environment:
    """The environment of the path."""
    found = call.world.store.environments.one(repo=call.repo.id, name=call.params["environment_name"])
    if found is None:
        raise not_found()
    return found


@handles("repos/get-environment")
def get_environment(call: Call) -> Answer:
    return Answer(200, delivery.environment(call.world, call.repo, the_environment(call)))


@handles("repos/delete-an-environment")
def delete_environment(call: Call) -> Answer:
    call.world.store.environments.drop(the_environment(call).id)
    return Answer(204)
