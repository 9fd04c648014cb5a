"""`swarm-bot golden …` on real local machines."""

from pathlib import Path

import pytest

from bot.agents.golden import find_image
from bot.agents.golden_stock import GoldenStock
from bot.cli.golden import images_of
from bot.cli.place import place_of
from bot.core.errors import UserError
from bot.core.models import RunId
from bot.pipeline.journal.database import metadata, open_database
from bot.pipeline.journal.fleet import Fleet
from bot.settings import Settings
from bot.vms import profile
from bot.vms.profile import Profile
from tests.cli.conftest import Say

pytestmark = pytest.mark.machines


@pytest.fixture
def journal(settings: Settings) -> Fleet:
    """The database that the commands use."""
    engine = open_database(settings.database_url)
    metadata.create_all(engine)
    return Fleet(engine, lambda: 0.0)


def test_build_list_and_check(swarm_bot: Say, journal: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """The image is built once, listed as the present one, and tried: it boots, and pi answers."""
    commit = swarm_bot("golden", "build", "--json")["commit_id"]
    assert swarm_bot("golden", "build", "--json")["commit_id"] == commit
    (present,) = (row for row in swarm_bot("golden", "list", "--json") if row["present"])
    assert present["commit"] == commit
    before = len(swarm_bot("vm", "list", "--all", "--json"))
    trial = swarm_bot("golden", "check", "--json")
    assert trial["ok"]
    assert trial["pi_seconds"] > 0
    assert len(swarm_bot("vm", "list", "--all", "--json")) == before


def test_one_that_is_no_image_fails_the_check(settings: Settings, swarm_bot: Say, journal: Fleet) -> None:
    """With the reason, exit status 1, and no machine left; it can be deleted, but not while something uses it."""
    vers = place_of(settings).vers
    vm = vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={})
    commit = vers.commit(vm, "swarm-golden-local-00000000000f")
    try:
        with pytest.raises(SystemExit):
            swarm_bot("golden", "check", "00000000000f", "--json")
        row = journal.intend(RunId("abcdef012345"), "agent-1", commit)
        with pytest.raises(UserError, match="in use by build abcdef012345"):
            swarm_bot("golden", "delete", "--yes", commit)
        journal.abandon(row.intent)
        (child,) = vers.branch(commit)
        with pytest.raises(UserError, match=f"in use by machine {child}"):
            swarm_bot("golden", "delete", "--yes", commit)
        vers.delete(child)
        assert swarm_bot("golden", "delete", "--yes", "--json", commit) == {"deleted": [commit]}
        assert commit not in {each.id for each in vers.commits()}
    finally:
        for each in vers.vms():
            vers.delete(each.id)
        vers.delete_commit(commit)


def test_former_images_go_after_a_day(settings: Settings, journal: Fleet) -> None:
    """Of this deployment only, not the present one, not those in use."""
    vers = place_of(settings).vers
    vm = vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={})
    names = ("swarm-golden-b2-00000000000a", "swarm-golden-b2-00000000000b", "swarm-golden-b2-x-00000000000c")
    former, present, others = commits = [vers.commit(vm, name) for name in names]
    try:
        stock = GoldenStock(vers, journal, "b2", present=names[1])
        assert stock.delete_former(older_than_s=3600) == []
        assert [image.commit for image in stock.delete_former(older_than_s=0)] == [former]
        left = {commit.id for commit in vers.commits()}
        assert {present, others} <= left
        assert former not in left
    finally:
        vers.delete(vm)
        for commit in commits:
            vers.delete_commit(commit)


def test_an_image_that_nobody_wrote_down_is_found_by_its_name(settings: Settings, journal: Fleet) -> None:
    """Its builder was killed before the tag and the row: the newest is used, and another of the same name is a former one."""
    vers = place_of(settings).vers
    vm = vers.create(memory_mib=512, disk_mib=1024, vcpus=1, labels={})
    name, recipe = "swarm-golden-b3-00000000000a", "0" * 64
    older, newest = commits = [vers.commit(vm, name) for _ in range(2)]
    try:
        assert find_image(vers, journal, recipe, "swarm-golden-b3-00000000000b") is None
        assert find_image(vers, journal, recipe, name) == newest
        assert (journal.golden(recipe), vers.tagged(name)) == (newest, newest)
        stock = GoldenStock(vers, journal, "b3", present=name)
        assert {image.commit: image.present for image in stock.images()} == {older: False, newest: True}
        assert [image.commit for image in stock.delete_former(older_than_s=0)] == [older]
        assert find_image(vers, journal, recipe, name) == newest
    finally:
        vers.delete(vm)
        for commit in commits:
            vers.delete_commit(commit)


def test_pi_runs_in_the_image_where_memory_is_kept(settings: Settings, tmp_path: Path) -> None:
    """Only a probe that has seen it decides so: the recipe is another one then."""
    cached = settings.model_copy(update={"swarm_cache": tmp_path})
    at = place_of(cached)

    def recipe() -> str:
        with images_of(at) as images:
            return images.recipe

    unknown = recipe()
    profile.store(tmp_path, Profile(url=settings.vers_url, commit_keeps_memory=False))
    assert recipe() == unknown
    profile.store(tmp_path, Profile(url=settings.vers_url, commit_keeps_memory=True))
    assert recipe() != unknown


def test_the_operators_own_journal(
    swarm_bot: Say, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without DATABASE_URL the commands make a database of their own; nobody has to migrate one first."""
    assert settings.swarm_cache.exists()
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.chdir(tmp_path)
    assert isinstance(swarm_bot("golden", "list", "--json"), list)
