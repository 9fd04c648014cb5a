"""A repository with code in it, and people who work on the same branch."""

import httpx

from bot.core.models import RunId
from tests.waiting import wait_until
from tests.walk.conftest import Walk

BOOKS = [f"{number:03}" for number in range(1, 301)]
SITE = {
    "README.md": "# Bookshelf\n",
    "AGENTS.md": "Be kind to old browsers.\n",
    ".github/workflows/ci.yml": "on: push\n",
    ".github/swarm.yml": "protected:\n  - LICENSE\n",
    "LICENSE": "MIT\n",
    "package.json": '{"name": "bookshelf", "private": true, "scripts": {"test": "node --test"}}\n',
    "index.html": '<!doctype html><link rel="stylesheet" href="style.css"><ul id="books"></ul>\n',
    "style.css": "body { font: 1rem serif }\n",
    "legacy.js": "// not used\n",
    "test/books.test.js": """
const test = require("node:test");
const assert = require("node:assert");
const fs = require("node:fs");

test("all books are there", () => assert.equal(fs.readdirSync("books").length, 300));
""",
    **{f"books/{number}.html": f"<h1>Book {number}</h1>\n" for number in BOOKS},
}


def test_a_feature_for_existing_code_and_a_rebuild_on_a_persons_work(walk: Walk) -> None:
    """The pull request touches four files of 300; what a person pushes is seen, and survives a rebuild."""
    shelf = walk.beside("acme/shelf", SITE)
    number, run = shelf.build("shelf-search.md")
    assert run.state == "succeeded", run.reason
    (pull,) = shelf.pull_requests(number)
    where = f"/repos/{shelf.repository}"
    files = shelf.github.call("GET", f"{where}/pulls/{pull['number']}/files")
    assert {each["filename"]: each["status"] for each in files} == {
        "SPEC.md": "added",
        "search.js": "added",
        "index.html": "modified",
        "legacy.js": "removed",
    }
    body = str(pull["body"])
    assert "| LICENSE | its deletion was asked for, but it stays: protected in .github/swarm.yml" in body
    assert "npm test" in body
    assert "search.js compares in lower case" in body
    assert "| index.html | " in body
    evidence = run.result["evidence"]
    assert evidence["tests"]["exit_status"] == 0
    assert "pass 1" in evidence["tests"]["output"]
    assert httpx.get(f"{evidence['url']}/books/042.html").text == SITE["books/042.html"]
    assert httpx.get(f"{evidence['url']}/legacy.js").status_code == 404
    commit = run.result["published"]["commit_sha"]
    (check,) = shelf.github.call("GET", f"{where}/commits/{commit}/check-runs")["check_runs"]
    assert (check["name"], check["conclusion"]) == ("Swarm Build", "neutral"), "something was left out"
    (refused,) = shelf.github.call("GET", f"{where}/check-runs/{check['id']}/annotations")
    assert refused["path"] == "LICENSE"
    message = shelf.github.call("GET", f"{where}/commits/{commit}")["commit"]["message"]
    assert "Co-authored-by: alice <" in message

    branch = f"swarm/issue-{number}"
    person = shelf.push("wendy", branch, "books/301.html", "<h1>By hand</h1>")
    (remark,) = wait_until(lambda: shelf.comments(int(str(pull["number"]))), 30, "the preview is called old")
    assert commit[:9] in str(remark["body"])
    deployment = f"{where}/deployments/{run.result['published']['deployment_id']}/statuses"
    wait_until(
        lambda: person[:9] in shelf.github.call("GET", deployment)[0]["description"],
        10,
        "the deployment says so, too",
    )

    shelf.person("wendy").comment(shelf.repository, number, "/swarm rebuild please")
    again = shelf.ended(_second(shelf, number, run.id))
    assert again.state == "succeeded", again.reason
    assert [each["number"] for each in shelf.pull_requests(number)] == [pull["number"]]
    head = shelf.github.call("GET", f"{where}/commits/{branch}")
    assert [each["sha"] for each in head["parents"]] == [person]
    assert shelf.file(branch, "books/301.html") == "<h1>By hand</h1>"
    assert set(shelf.tree(branch)) == {*SITE, "SPEC.md", "search.js", "books/301.html"} - {"legacy.js"}
    assert httpx.get(f"{again.result['evidence']['url']}/books/301.html").text == "<h1>By hand</h1>"
    assert walk.machines() == 1, "the first preview made room for the second"
    shelf.close_pull_request(number)


def _second(walk: Walk, number: int, first: RunId) -> RunId:
    def look() -> RunId | None:
        runs = walk.stores.runs.of_issue(walk.repository, number)
        return next((each.id for each in runs if each.id != first), None)

    return wait_until(look, 30, "the second build is queued")
