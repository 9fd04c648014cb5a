"""Set-up, from the first page to an App whose webhooks are trusted, with a local GitHub on the other side."""

import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from flask.testing import FlaskClient
from pydantic import SecretStr

from bot.cli import identity
from bot.cli.world import free_port
from bot.core.errors import Permanent, UserError
from bot.core.texts import Texts, default_loader
from bot.github.app import GitHubApp
from bot.local.github.server import Running, start
from bot.pipeline.journal.credentials import Credentials
from bot.serving import Serving
from bot.settings import Settings
from bot.web.setup import AppIdentity, SetUp, Vault, manifest_of, new_key
from tests.walk.browser import CHROMIUM, chromium
from tests.web.world import TEMPLATES, World, open_world

PUBLIC_URL = "https://swarm.example"
MANIFEST = yaml.safe_load((TEMPLATES.parent / "app.yml").read_text())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("github"))
    yield running
    running.stop()


@pytest.fixture
def settings(hub: Running, tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path}/journal.db", github_url=hub.base_url)


def unconfigured(settings: Settings, hub: Running, journal: Path, public_url: str = PUBLIC_URL) -> World:
    """A web process without an App."""
    world = open_world(journal, secret="")
    credentials = Credentials(world.engine, world.clock)
    world.set_up = SetUp(
        vault=lambda: identity.vault(settings, credentials),
        configured=lambda: identity.is_set_up(settings, credentials),
        exchange=lambda code: identity.exchange(settings, code),
        texts=Texts(default_loader(TEMPLATES)),
        manifest=MANIFEST,
        public_url=public_url,
        site=hub.web_url,
        admin_token="let me in",
        store=True,
    )
    return world


@pytest.fixture
def world(settings: Settings, hub: Running, tmp_path: Path) -> World:
    return unconfigured(settings, hub, tmp_path / "journal.db")


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def agree(client: FlaskClient, hub: Running, path: str = "/setup") -> str:
    """Open set-up, agree on GitHub; the address to which GitHub sends the browser back."""
    page = client.get(path)
    assert page.status_code == 200, page.text
    action = html.unescape(re.findall(r'<form method="post" action="([^"]+)"', page.text)[0])
    assert action.startswith(hub.web_url)
    confirm = httpx.post(action, data={"manifest": fields(page.text)["manifest"]}).raise_for_status()
    answer = httpx.post(f"{hub.web_url}/_local/manifests", data=fields(confirm.text), follow_redirects=False)
    back = urlsplit(answer.headers["Location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{PUBLIC_URL}/setup/done"
    return f"{back.path}?{back.query}"


def test_from_nothing_to_an_app(world: World, settings: Settings, hub: Running, tmp_path: Path) -> None:
    """The browser ends at the installation page; id, key and secret are stored, sealed, and GitHub knows them."""
    client = world.app().test_client()
    done = client.get(agree(client, hub))
    assert done.status_code == 303
    assert done.headers["Location"].endswith("/installations/new")
    assert httpx.get(done.headers["Location"]).is_success

    found = identity.configured(settings, Credentials(world.engine, world.clock))
    app = GitHubApp(api_url=hub.base_url, app_id=found.github_app_id, private_key_pem=found.private_key())
    assert app.login().startswith("swarm-build")
    made = next(each for each in hub.world.store.apps if str(each.id) == found.github_app_id)
    assert made.webhook_url == f"{PUBLIC_URL}/webhook"
    assert found.github_webhook_secret.get_secret_value() == made.webhook_secret
    assert (tmp_path / "journal.db.key").stat().st_mode & 0o777 == 0o600
    for file in tmp_path.glob("journal.db*"):
        assert b"PRIVATE KEY" not in file.read_bytes()
        assert made.webhook_secret.encode() not in file.read_bytes()


def test_for_an_organisation(world: World, hub: Running) -> None:
    """The form goes to the organisation's page; a name that is none is refused."""
    client = world.app().test_client()
    page = client.get("/setup?organization=acme").text
    assert f"{hub.web_url}/organizations/acme/settings/apps/new?state=" in page
    assert client.get("/setup?organization=../x").status_code == 400


def test_a_state_works_once_and_in_one_browser(world: World, hub: Running) -> None:
    """No state, another browser, a second time, or after an hour: nothing is exchanged."""
    client = world.app().test_client()
    assert client.get("/setup/done?code=abc").status_code == 400
    assert client.get("/setup/done?code=abc&state=made-up").status_code == 400
    back = agree(client, hub)
    assert world.app().test_client().get(back).status_code == 400, "without the cookie"
    world.clock.at += 3700
    assert client.get(back).status_code == 400, "too late"
    world.clock.at -= 3700
    assert client.get(back).status_code == 303
    client.set_cookie("swarm_setup", parse_qs(urlsplit(back).query)["state"][0], path="/setup")
    assert client.get(back).status_code == 400, "used up"


def test_closed_once_configured(world: World, hub: Running) -> None:
    """Afterwards only the admin token opens it, and an empty token opens nothing."""
    client = world.app().test_client()
    client.get(agree(client, hub))
    assert client.get("/setup").status_code == 403
    assert client.get("/setup?token=guess").status_code == 403
    assert client.get("/setup?token=let+me+in").status_code == 200
    assert world.set_up
    world.set_up = replace(world.set_up, admin_token="")
    assert world.app().test_client().get("/setup?token=").status_code == 403


def test_a_stranger_who_was_first_cannot_replace_the_app(
    world: World, settings: Settings, hub: Running
) -> None:
    """A set-up that was begun without the admin token ends with the first identity that is kept, or configured."""
    stranger, operator, admin = (world.app().test_client() for _ in range(3))
    early = agree(stranger, hub)
    assert operator.get(agree(operator, hub)).status_code == 303
    assert stranger.get(early).status_code == 400, "its state is gone"

    assert world.set_up
    vault = world.set_up.vault()
    state = vault.begin(by_admin=False)
    stranger.set_cookie("swarm_setup", state, path="/setup")
    assert stranger.get(f"/setup/done?code=abc&state={state}").status_code == 400, (
        "configured: the admin's only"
    )
    assert vault.finish(state, only_admin=False), "and nothing was exchanged for it"
    assert admin.get(agree(admin, hub, "/setup?token=let+me+in")).status_code == 303


def test_shown_instead_of_stored(world: World, settings: Settings, hub: Running) -> None:
    """With storing off, the variables are shown once and nothing is kept."""
    assert world.set_up
    world.set_up = replace(world.set_up, store=False)
    client = world.app().test_client()
    page = client.get(agree(client, hub)).text
    assert "GITHUB_APP_ID=" in page
    assert "GITHUB_PRIVATE_KEY=-----BEGIN" in page
    assert not identity.identity(settings, Credentials(world.engine, world.clock)).app_id


def test_a_code_that_github_does_not_know(world: World, hub: Running) -> None:
    """The page says so; the operator begins again."""
    client = world.app().test_client()
    state = urlsplit(agree(client, hub)).query.partition("state=")[2]
    answer = client.get(f"/setup/done?code=wrong&state={state}")
    assert answer.status_code == 400
    assert "once" in answer.text


@pytest.mark.skipif(not shutil.which(CHROMIUM), reason="there is no chromium")
def test_by_clicking(settings: Settings, hub: Running, tmp_path: Path) -> None:
    """In a real browser, which obeys the page's policy: create, agree, install."""
    port = free_port()
    world = unconfigured(settings, hub, tmp_path / "journal.db", f"http://127.0.0.1:{port}")
    serving = Serving(world.app(), name="web", port=port, threads=4)
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"{serving.url}/setup")
            page.get_by_role("button", name="Create the App").click()
            page.get_by_role("button", name="Create GitHub App").click()
            page.wait_for_url(re.compile(r"/installations/new$"))
            page.get_by_role("button", name="Install").first.click()
            page.wait_for_url(re.compile(f"{re.escape(hub.web_url)}/[^/]+/[^/]+$"))
    finally:
        serving.stop()
    found = identity.identity(settings, Credentials(world.engine, world.clock))
    assert hub.world.store.installations.one(app_id=int(found.app_id))


def test_the_browser_may_post_to_github_alone(world: World, hub: Running) -> None:
    """The page's policy names GitHub as the only other place that its forms may go to."""
    policy = world.app().test_client().get("/setup").headers["Content-Security-Policy"]
    assert f"form-action 'self' {hub.web_url};" in policy


def test_the_environment_wins(world: World, settings: Settings) -> None:
    """A stored identity is used only where the environment has none."""
    credentials = Credentials(world.engine, world.clock)
    identity.vault(settings, credentials).store(AppIdentity("7", "stored", "pem"))
    assert identity.identity(settings, credentials).webhook_secret == "stored"
    named = settings.model_copy(
        update={"github_app_id": "8", "github_webhook_secret": SecretStr("from the environment")}
    )
    assert identity.identity(named, credentials) == AppIdentity("8", "from the environment")


def test_an_app_whose_key_is_lost_is_replaced_by_the_admin_alone(world: World, hub: Running) -> None:
    """Whose credentials nobody can open: the page stays closed to strangers, and the admin makes another App."""
    Vault(Credentials(world.engine, world.clock), new_key()).store(AppIdentity("7", "s", "p"))
    client = world.app().test_client()
    assert client.get("/setup").status_code == 403
    assert client.get(agree(client, hub, "/setup?token=let+me+in")).status_code == 303


def test_keys(world: World) -> None:
    """A key that is none is refused with a sentence; one that does not fit is not mistaken for no set-up."""
    credentials = Credentials(world.engine, world.clock)
    with pytest.raises(UserError, match="SETTINGS_KEY"):
        Vault(credentials, "short")
    Vault(credentials, new_key()).store(AppIdentity("7", "s", "p"))
    with pytest.raises(Permanent, match="another SETTINGS_KEY"):
        Vault(credentials, new_key()).load()


def test_the_manifest_is_app_yml_with_our_addresses() -> None:
    """Nothing but the addresses differs."""
    made = manifest_of(MANIFEST, PUBLIC_URL)
    assert made["hook_attributes"]["url"] == f"{PUBLIC_URL}/webhook"
    assert made["redirect_url"] == f"{PUBLIC_URL}/setup/done"
    assert made["default_permissions"] == MANIFEST["default_permissions"]
    assert made["default_events"] == MANIFEST["default_events"]
