"""Deployments, check runs, check suites, commit statuses and webhook deliveries as JSON."""

import json
from typing import Any

from bot.local.github.clock import from_git_date
from bot.local.github.records import (
    CheckRun,
    CheckSuite,
    CommitStatus,
    Delivery,
    Deployment,
    DeploymentStatus,
    Environment,
    Repository,
)
from bot.local.github.shapes.code import pull_brief
from bot.local.github.shapes.common import Json, app_or_none, node_id, repository, user
from bot.local.github.world import World


def deployment(world: World, repo: Repository, found: Deployment) -> Json:
    """A deployment."""
    base = f"{world.api_url}/repos/{repo.full_name}"
    statuses = world.store.deployment_statuses.where(deployment=found.id)
    return {
        "id": found.id,
        "node_id": node_id("Deployment", found.id),
        "url": f"{base}/deployments/{found.id}",
        "sha": found.sha,
        "ref": found.ref,
        "task": found.task,
        "payload": found.payload,
        "original_environment": found.environment,
        "environment": found.environment,
        "description": found.description,
        "creator": user(world, found.creator),
        "created_at": found.created_at,
        "updated_at": statuses[-1].created_at if statuses else found.created_at,
        "statuses_url": f"{base}/deployments/{found.id}/statuses",
        "repository_url": base,
        "transient_environment": found.transient,
        "production_environment": found.production,
        "performed_via_github_app": app_or_none(world, found.via_app),
    }


def deployment_status(world: World, repo: Repository, found: DeploymentStatus) -> Json:
    """A deployment status."""
    base = f"{world.api_url}/repos/{repo.full_name}"
    return {
        "id": found.id,
        "node_id": node_id("DeploymentStatus", found.id),
        "url": f"{base}/deployments/{found.deployment}/statuses/{found.id}",
        "state": found.state,
        "creator": user(world, found.creator),
        "description": found.description,
        "environment": found.environment,
        "target_url": found.log_url,
        "log_url": found.log_url,
        "environment_url": found.environment_url,
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "deployment_url": f"{base}/deployments/{found.deployment}",
        "repository_url": base,
        "performed_via_github_app": app_or_none(world, found.via_app),
    }


def environment(world: World, repo: Repository, found: Environment) -> Json:
    """A deployment environment."""
    return {
        "id": found.id,
        "node_id": node_id("Environment", found.id),
        "name": found.name,
        "url": f"{world.api_url}/repos/{repo.full_name}/environments/{found.name}",
        "html_url": f"{world.web_url}/{repo.full_name}/deployments/activity_log",
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "protection_rules": [],
        "deployment_branch_policy": None,
    }


def check_run(world: World, repo: Repository, found: CheckRun, *, in_webhook: bool = False) -> Json:
    """A check run; in webhooks its suite is spelled out and its buttons are not."""
    url = f"{world.api_url}/repos/{repo.full_name}/check-runs/{found.id}"
    page = f"{world.web_url}/{repo.full_name}/runs/{found.id}"
    suite = world.store.check_suites.get(found.suite)
    shape: Json = {
        "id": found.id,
        "node_id": node_id("CheckRun", found.id),
        "name": found.name,
        "head_sha": found.head_sha,
        "external_id": found.external_id,
        "url": url,
        "html_url": page,
        "details_url": found.details_url or page,
        "status": found.status,
        "conclusion": found.conclusion,
        "started_at": found.started_at,
        "completed_at": found.completed_at,
        "output": {
            "title": found.output.get("title"),
            "summary": found.output.get("summary"),
            "text": found.output.get("text"),
            "annotations_count": len(found.annotations),
            "annotations_url": f"{url}/annotations",
        },
        "check_suite": {"id": found.suite},
        "app": app_or_none(world, found.app_id),
        "pull_requests": _pulls(world, repo, found.head_sha),
    }
    if in_webhook and suite:
        whole = check_suite(world, repo, suite)
        names = "id node_id head_branch head_sha status conclusion url before after pull_requests app created_at updated_at"
        shape["check_suite"] = {name: whole[name] for name in names.split()}
    return shape


def check_suite(world: World, repo: Repository, found: CheckSuite) -> Json:
    """A check suite."""
    base = f"{world.api_url}/repos/{repo.full_name}/check-suites/{found.id}"
    runs = world.store.check_runs.where(suite=found.id)
    done = bool(runs) and all(run.status == "completed" for run in runs)
    commit = world.git(repo).read_commit(found.head_sha)
    people = {
        name: {"name": who.name, "email": who.email}
        for name, who in (("author", commit.author), ("committer", commit.committer))
    }
    return {
        "id": found.id,
        "node_id": node_id("CheckSuite", found.id),
        "head_branch": found.head_branch,
        "head_sha": found.head_sha,
        "status": "completed" if done else "in_progress" if runs else "queued",
        "conclusion": _worst([run.conclusion for run in runs]) if done else None,
        "url": base,
        "before": found.before,
        "after": found.head_sha,
        "pull_requests": _pulls(world, repo, found.head_sha),
        "app": app_or_none(world, found.app_id),
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": len(runs),
        "check_runs_url": f"{base}/check-runs",
        "head_commit": {
            "id": commit.sha,
            "tree_id": commit.tree,
            "message": commit.message,
            "timestamp": from_git_date(commit.committer.date),
            **people,
        },
        "repository": repository(world, repo),
    }


def _worst(conclusions: list[str | None]) -> str:
    order = ("action_required", "cancelled", "timed_out", "failure", "neutral", "skipped", "success")
    return min((c for c in conclusions if c in order), key=order.index, default="neutral")


def _pulls(world: World, repo: Repository, sha: str) -> list[Json]:
    found = world.store.pulls.where(repo=repo.id, head_sha=sha)
    issues = ((pull, world.issue(repo, pull.number)) for pull in found)
    return [pull_brief(world, repo, pull) for pull, issue in issues if issue and issue.state == "open"]


def commit_status(world: World, repo: Repository, found: CommitStatus) -> Json:
    """A commit status."""
    creator = user(world, found.creator)
    return {
        "id": found.id,
        "node_id": node_id("Status", found.id),
        "url": f"{world.api_url}/repos/{repo.full_name}/statuses/{found.sha}",
        "avatar_url": creator["avatar_url"],
        "state": found.state,
        "description": found.description,
        "target_url": found.target_url,
        "context": found.context,
        "created_at": found.created_at,
        "updated_at": found.created_at,
        "creator": creator,
    }


def webhook_delivery(found: Delivery, *, full: bool) -> Json:
    """An attempt to deliver a webhook; `full` adds request and response."""
    shape: Json = {
        "id": found.id,
        "guid": found.guid,
        "delivered_at": found.delivered_at,
        "redelivery": found.redelivery,
        "duration": round(found.duration_s, 2),
        "status": found.status,
        "status_code": found.status_code,
        "event": found.event,
        "action": found.action,
        "installation_id": found.installation_id,
        "repository_id": found.repository_id,
        "throttled_at": None,
    }
    if full:
        payload: Any = json.loads(found.body)
        shape["url"] = found.url
        shape["request"] = {"headers": found.headers, "payload": payload}
        shape["response"] = {"headers": found.response_headers, "payload": found.response_body}
    return shape
