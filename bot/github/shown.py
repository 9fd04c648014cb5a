"""What a pull request shows beside its text: the deployment with the live address, and the check run."""

from github.Repository import Repository as GhRepository

from bot.core.errors import NotFound
from bot.core.models import Repo
from bot.github.door import Door, json_call
from bot.github.errors import Access
from bot.github.values import CheckReport, DeploymentState

PREVIEW_ENVIRONMENT = "swarm-preview"
"""One name for all previews: an environment per pull request could not be deleted without administration rights."""


class Shown:
    """Deployments and check runs of one repository; a part of `client.Repository`."""

    def __init__(self, repo: Repo, door: Door) -> None:
        self.repo = repo
        self._door = door
        self._path = f"/repos/{repo.full_name}"

    # Deployments ---------------------------------------------------------------------------------------

    def ensure_deployment(
        self, *, ref_sha: str, environment: str = PREVIEW_ENVIRONMENT, description: str, payload_run: str
    ) -> int:
        """The deployment of a commit to an environment; made if there is none.

        No check has to pass first (ours are running), nothing is merged, and it counts as short-lived.
        """

        def look(repo: GhRepository) -> int | None:
            found = repo.get_deployments(sha=ref_sha, environment=environment)
            return next((deployment.id for deployment in found), None)

        def make(repo: GhRepository) -> int:
            return repo.create_deployment(
                ref=ref_sha,
                environment=environment,
                description=description[:140],
                payload={"run": payload_run},
                required_contexts=[],
                auto_merge=False,
                transient_environment=True,
                production_environment=False,
            ).id

        return self._door.ensure("creating the deployment", Access.DEPLOYMENTS, look, make)

    def show_preview(self, sha: str, run: str, *, issue: int, url: str, log_url: str) -> int:
        """Show an address that answers as the deployment of a commit; its id."""
        deployment = self.ensure_deployment(
            ref_sha=sha, description=f"Preview for issue {issue}", payload_run=run
        )
        self.set_deployment(
            deployment, DeploymentState.SUCCESS, url=url, log_url=log_url, description="The preview answers."
        )
        return deployment

    def set_deployment(
        self,
        deployment_id: int,
        state: DeploymentState,
        *,
        url: str = "",
        log_url: str = "",
        description: str = "",
    ) -> None:
        """Add a status to a deployment. `url` is what "View deployment" opens; the description is cut at 140."""
        fields = {"environment_url": url, "log_url": log_url, "description": description[:140]}
        body = {"state": state.value, **{name: value for name, value in fields.items() if value}}
        path = f"{self._path}/deployments/{deployment_id}/statuses"
        self._door.again(
            f"setting the deployment {state.value}",
            Access.DEPLOYMENTS,  # said twice is the same to a reader, so an unclear answer is simply repeated
            lambda repo: json_call(repo, "POST", path, body),
        )

    def deactivate_deployment(self, deployment_id: int) -> None:
        """Show a deployment as destroyed; one that is gone already is fine."""
        try:
            self.set_deployment(deployment_id, DeploymentState.INACTIVE)
        except NotFound:
            return

    # Check runs ----------------------------------------------------------------------------------------

    def ensure_check(self, sha: str, name: str, external_id: str, *, details_url: str = "") -> int:
        """The check run of this name and id on a commit; made (in progress) if there is none."""

        def look(repo: GhRepository) -> int | None:
            runs = repo.get_commit(sha).get_check_runs(check_name=name)
            return next((run.id for run in runs if run.external_id == external_id), None)

        def make(repo: GhRepository) -> int:
            body = {"name": name, "head_sha": sha, "external_id": external_id, "status": "in_progress"}
            if details_url:
                body["details_url"] = details_url
            return int(json_call(repo, "POST", f"{self._path}/check-runs", body)["id"])

        return self._door.ensure(f"creating the check {name}", Access.CHECKS, look, make)

    def update_check(self, check_id: int, report: CheckReport) -> None:
        """Show a report on a check run; with a conclusion it is completed.

        One that is completed stays as it is: GitHub would append the annotations once more.
        """
        body = report.body()
        path = f"{self._path}/check-runs/{check_id}"

        def look(repo: GhRepository) -> bool | None:
            return True if json_call(repo, "GET", path)["status"] == "completed" else None

        def make(repo: GhRepository) -> bool:
            json_call(repo, "PATCH", path, body)
            return True

        self._door.ensure("updating the check", Access.CHECKS, look, make)
