"""Everything that one port serves: the REST API, git over HTTP, the pages, and /_local."""

import hashlib
import json
import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, request
from pydantic import ValidationError

from bot.core.pictures import image_type
from bot.core.texts import Texts
from bot.local.github import attachments, graphql, local_api, pages, smart_http
from bot.local.github.api import Answer, Api, Incoming
from bot.local.github.operations import archives
from bot.local.github.refusals import Refusal

PREFIX = "/api/v3"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def make_app(api: Api, texts: Texts) -> Flask:
    """The WSGI application."""
    app = Flask("local-github", static_folder=None)
    app.url_map.merge_slashes = False

    def rest(path: str = "") -> Response:
        return _rest(api, path)

    # As on GitHub Enterprise Server, and for clients that know api.github.com's layout only, at the root too.
    roots = [PREFIX, *(f"/{root}" for root in api.world.description.roots())]
    for root in roots:
        app.add_url_rule(root, "rest", rest, methods=METHODS)
        app.add_url_rule(f"{root}/<path:path>", "rest", rest, methods=METHODS)

    app.add_url_rule(graphql.PATH, "rest", rest, methods=["POST"])

    def git(owner: str, name: str, rest: str) -> Response:
        return _git(api, owner, name, rest)

    for tail in ("info/refs", "git-upload-pack", "git-receive-pack"):
        app.add_url_rule(
            f"/<owner>/<name>/{tail}", f"git {tail}", git, methods=["GET", "POST"], defaults={"rest": tail}
        )

    def archive(owner: str, name: str, ref: str) -> Response:
        found = archives.serve(api.world, owner, name, ref, request.args.get("token", ""))
        return Response(found, 200, {"Content-Type": "application/x-gzip"})

    app.add_url_rule("/<owner>/<name>/legacy.tar.gz/<path:ref>", "archive", archive)

    def asset(name: str) -> Response:
        return Response("", 302, {"Location": attachments.public(api.world, name)})

    def image(name: str) -> Response:
        content = attachments.read(api.world, name, request.args.get("jwt", ""))
        return Response(content, mimetype=image_type(content), headers={"X-Content-Type-Options": "nosniff"})

    app.add_url_rule("/user-attachments/assets/<name>", "asset", asset)
    app.add_url_rule(f"{attachments.SIGNED}/<name>", "image", image)
    app.register_blueprint(local_api.blueprint(api))
    app.register_blueprint(pages.blueprint(api, texts))

    @app.errorhandler(Refusal)
    def refused(why: Refusal) -> tuple[dict[str, object], int]:
        return why.body(), why.status

    @app.errorhandler(ValidationError)
    def wrong_order(why: ValidationError) -> tuple[str, int]:
        return str(why), 400

    return app


def _rest(api: Api, path: str) -> Response:
    # Escapes matter: "%2F" inside a label's name is no separator. So the path is taken as it was sent.
    sent = urlsplit(request.environ.get("REQUEST_URI", f"/{path}")).path
    prefix = PREFIX if sent.startswith(PREFIX) else ""
    answer = api.answer(
        Incoming(
            method=request.method,
            path=sent.removeprefix(prefix),
            query=request.args.to_dict(),
            headers=request.headers,  # type: ignore[arg-type]  # has the get() that is used, without regard to case
            data=request.get_data(),
            url=api.world.web_url + sent,
        )
    )
    return _response(answer)


def _response(answer: Answer) -> Response:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Request-Id": ":".join(secrets.token_hex(2).upper() for _ in range(5)),
        **answer.headers,
    }
    text = "" if answer.body is None else json.dumps(answer.body, ensure_ascii=False)
    if answer.status == 200 and request.method == "GET":
        headers["ETag"] = f'W/"{hashlib.sha256(text.encode()).hexdigest()}"'
        headers["Cache-Control"] = "private, max-age=60, s-maxage=60"
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response("", 304, headers)
    return Response(text, answer.status, headers)


def _git(api: Api, owner: str, name: str, rest: str) -> Response:
    answer = smart_http.serve(
        api.world,
        smart_http.GitRequest(
            method=request.method,
            owner=owner,
            name=name,
            rest=rest,
            query=request.query_string.decode(),
            headers=request.headers,  # type: ignore[arg-type]  # has the get() that is used, without regard to case
            data=request.get_data(),
        ),
    )
    return Response(answer.body, answer.status, list(answer.headers))
