"""What came of a build on the stand-ins, in numbers: the JSON of the demo, and the critical path behind the ratio."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

from bot.agents.outcome import SwarmOutcome
from bot.cli import wiring
from bot.cli.wiring import Stores
from bot.cli.world import World
from bot.core.codec import load
from bot.core.models import AgentLabel, Evidence, Published, RunId
from bot.core.snapshot import Snapshot
from bot.core.timeline import Command, Course, ModelCall, Task, Wait
from bot.pipeline.journal.runs import Run
from bot.pipeline.journal.snapshot import snapshot


def report_of(
    world: World, stores: Stores, run: RunId, *, issue_url: str, labelled_at: float
) -> dict[str, Any]:
    """The demo's report; `labelled_at` in seconds since the epoch. Keys are documented in docs/demo.md."""
    row = stores.runs.get(run)
    seen = snapshot(run, stores.runs, stores.fleet, stores.usage)
    files = row.result.get("files", [])
    published = row.fact("published", Published)
    evidence = row.fact("evidence", Evidence)
    status = _visit(evidence.url) if evidence and evidence.url else 0
    total = (row.result.get("published_at") or row.ended_at or time.time()) - labelled_at
    course = course_of(world, row, evidence)
    path = course.path(world.model["rate"]) if course and world.model else None
    return {
        "state": str(row.state),
        "reason": row.reason,
        "issue_url": issue_url,
        "pull_request": published.pull_request if published else None,
        "pull_request_url": published.pull_request_url if published else "",
        "branch": published.branch if published else "",
        "preview_url": evidence.url if evidence else "",
        "preview_status": status,
        "answered": bool(evidence and evidence.ok and (status == 200 or not evidence.url)),
        "files": files,
        "spec_bytes": next((f["bytes"] for f in files if f["path"] == "SPEC.md"), 0),
        "agents": _agents(seen),
        "seconds": {
            "total": round(total, 3),
            "critical_path": path and round(path, 3),
            "overhead_ratio": path and round(total / path, 4),
            "webhook_ack": _webhook_ack(world),
        },
        "vms_created": len(stores.fleet.machines(run, live=False)),
        "vms_left": None,
    }


def _agents(seen: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            "label": agent.label,
            "role": str(agent.role),
            "vm_id": agent.vm,
            "state": str(agent.state),
            "input_tokens": agent.tokens.input + agent.tokens.cache_read + agent.tokens.cache_write,
            "output_tokens": agent.tokens.output,
            "cost_usd": round(agent.tokens.cost_microusd / 1e6, 6),
        }
        for agent in seen.agents
    ]


def _visit(url: str) -> int:
    try:
        return httpx.get(url, follow_redirects=True, timeout=10.0).status_code
    except httpx.HTTPError:
        return 0


def course_of(world: World, row: Run, evidence: Evidence | None) -> Course | None:
    """What happened in a build, for the critical path; None with a real model or no outcome."""
    if world.model is None or evidence is None or "outcome" not in row.result:
        return None
    outcome = load(SwarmOutcome, row.result["outcome"])
    return Course(
        model_calls(world.model, row.id),
        [Command(c.agent, c.started, c.ended) for c in outcome.commands],
        [Task(t.agent, t.at) for t in outcome.tasks],
        [Wait(w.agents, w.started, w.ended) for w in outcome.waits],
        install_s=evidence.install_seconds,
        start_s=evidence.start_seconds,
        ttft_s=world.model["ttft_s"],
    )


def model_calls(model: Mapping[str, Any], run: RunId) -> list[ModelCall]:
    """A build's answered calls, from the scripted model's ledger. Seconds since the epoch."""
    ahead_s = time.time() - time.monotonic()  # the model's ledger has the machine's own clock
    ledger = httpx.get(f"{model['base_url']}/ledger").raise_for_status().json()
    return [
        ModelCall(AgentLabel(c["agent"]), c["start"] + ahead_s, c["end"] + ahead_s, c["output_tokens"])
        for c in ledger
        if c["run"] == run and c["outcome"] == "complete"
    ]


def _webhook_ack(world: World) -> float | None:
    """Seconds until our web process had answered the label's webhook, as the local GitHub's delivery record has it."""
    deliveries = wiring.github_app(world.settings).deliveries()
    took = [each.duration_s for each in deliveries if each.event == "issues" and each.action == "labeled"]
    return took[0] if took else None
