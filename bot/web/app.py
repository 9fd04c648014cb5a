"""The web process: webhook, health, pages. A Flask application made from what the composition root hands in."""

import logging
from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.core.errors import Transient
from bot.core.texts import Texts
from bot.pipeline.journal.fleet import Fleet
from bot.pipeline.journal.runs import Runs
from bot.pipeline.journal.transcripts import Transcripts
from bot.pipeline.journal.usage import Usage
from bot.web.pages import Desk, ProblemPage, pages, site_of
from bot.web.setup import AppIdentity, SetUp, setup_pages
from bot.web.webhook import Enqueue, Intake, webhook

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(
    *,
    identity: Callable[[], AppIdentity],
    runs: Runs,
    fleet: Fleet,
    usage: Usage,
    transcripts: Transcripts,
    enqueue: Enqueue,
    texts: Texts,
    static_folder: Path,
    trigger_label: str,
    github_url: str,
    now: Callable[[], float],
    set_up: SetUp | None = None,
) -> Flask:
    """The application.

    Args:
        identity: our App's id and webhook secret; without a secret, every webhook is refused.
        runs: deliveries and builds; `usage` and `fleet` are read for the pages.
        fleet: machines and agents.
        usage: money.
        transcripts: what agents said and did.
        enqueue: puts a stored delivery on the queue, in the transaction that stores it.
        texts: the templates; those below "web/" are used.
        static_folder: style sheet, script and logo, as files ("templates/web/static").
        trigger_label: the label that starts a build.
        github_url: the REST API, from which the address of GitHub's pages follows.
        now: seconds since the epoch.
        set_up: what the set-up pages need; without it there are none.
    """
    app = Flask(__name__, static_folder=str(static_folder.resolve()), static_url_path="/static")
    app.register_blueprint(webhook(Intake(identity, runs, enqueue, trigger_label)))
    app.register_blueprint(
        pages(Desk(runs, fleet, usage, transcripts, texts, now, site_of(github_url), trigger_label))
    )
    if set_up is not None:
        app.register_blueprint(setup_pages(set_up))

    @app.get("/healthz")
    def health() -> tuple[Response, int]:
        try:
            runs.ping()
        except Transient as error:
            log.warning("not healthy: %s", error)
            return jsonify(state="down", reason="the database does not answer"), 503
        return jsonify(state="up"), 200

    @app.errorhandler(Transient)
    def unavailable(error: Transient) -> tuple[str, int]:
        log.warning("%s: %s", request.path, error)
        page = ProblemPage(503, "The database does not answer. Try again in a moment.")
        return texts.render("web/problem.html.j2", page), 503

    @app.errorhandler(HTTPException)
    def problem(error: HTTPException) -> tuple[str, int]:
        page = ProblemPage(error.code or 500, error.description or error.name)
        return texts.render("web/problem.html.j2", page), error.code or 500

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    return app
