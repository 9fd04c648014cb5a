"""`swarm-bot golden …`: the image that machines are branched from."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click

from bot.agents.golden import GoldenImages
from bot.agents.golden_stock import GoldenImage
from bot.cli import wiring
from bot.cli.place import Place, as_json, at_vers, with_journal
from bot.cli.serve import started_gateway
from bot.cli.tables import age, note, print_fact, print_json, print_rows
from bot.core.errors import UserError


@click.group()
def commands() -> None:
    """The golden image that machines are branched from."""


@contextmanager
def images_of(at: Place) -> Iterator[GoldenImages]:
    """The images of this deployment, with what a machine that is built on may reach."""
    settings = with_journal(at.settings)
    kept = wiring.stores(settings)
    gateway, lines = started_gateway(settings, kept)
    try:
        yield wiring.golden_images(settings, kept, at.vers, at.connect, lines)
    finally:
        gateway.close()
        kept.database.dispose()


@commands.command()
@as_json
@at_vers
def build(at: Place, *, as_json: bool) -> None:
    """Build the image of the present recipe unless it exists; former ones that nobody uses go after a day."""
    with images_of(at) as images:
        commit = images.ensure(note if as_json else click.echo)
        print_fact(f"golden image {commit}", {"commit_id": commit, "name": images.name}, as_json=as_json)


@commands.command("list")
@as_json
@at_vers
def list_(at: Place, *, as_json: bool) -> None:
    """The images that exist, and who uses them."""
    with images_of(at) as images:
        rows = [_row(image) for image in images.stock().images()]
    columns = ("recipe", "name", "commit", "age", "present", "in use by")
    print_rows(rows, columns, as_json=as_json, empty="No golden image: `swarm-bot golden build` makes it.")


@commands.command()
@click.argument("image", required=False)
@as_json
@at_vers
def check(at: Place, image: str | None, *, as_json: bool) -> None:
    """Branch a machine of IMAGE (the present one without it), reach it, and hear pi answer."""
    with images_of(at) as images:
        stock = images.stock()
        if image is None and images.find() is None:
            raise UserError("There is no image of the present recipe: `swarm-bot golden build` makes it.")
        found = stock.image(image or images.name)
        trial = stock.check(found, connect=at.connect, model=at.settings.agent_model)
    said = f"good: reached after {trial.boot_seconds:g} s, pi answered {trial.pi_seconds:g} s later"
    print_fact(
        f"{found.name} is {said if trial.ok else f'no good: {trial.problem}'}", asdict(trial), as_json=as_json
    )
    sys.exit(0 if trial.ok else 1)


@commands.command()
@click.argument("wanted", nargs=-1, metavar="[IMAGE]...")
@click.option("--former", is_flag=True, help="All of former recipes that nobody uses.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@at_vers
def delete(at: Place, wanted: tuple[str, ...], *, former: bool, yes: bool, as_json: bool) -> None:
    """Delete images by commit, name or recipe; one that is in use stays."""
    if bool(wanted) == former:
        raise UserError("Name the images to delete, or say --former.")
    with images_of(at) as images:
        stock = images.stock()
        chosen = (
            [each for each in stock.images() if not each.present and not each.users]
            if former
            else [stock.image(name) for name in wanted]
        )
        if chosen and not yes:
            if not sys.stdin.isatty():
                raise UserError("Deleting asks first, and nobody can answer here: say --yes.")
            click.confirm(f"Delete {', '.join(each.name for each in chosen)}?", abort=True)
        for each in chosen:
            stock.delete(each)
            note(f"deleted {each.name}")
    if as_json:
        print_json({"deleted": [each.commit for each in chosen]})


def _row(image: GoldenImage) -> dict[str, Any]:
    return {
        "recipe": image.recipe,
        "name": image.name,
        "commit": image.commit,
        "age": age(image.created_at, time.time()),
        "created_at": image.created_at,
        "present": image.present,
        "in_use": bool(image.users),
        "users": list(image.users),
        "in use by": ", ".join(image.users),
    }
