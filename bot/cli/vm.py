"""`swarm-bot vm …`: machines by hand."""

import sys
import time
from typing import Any

import click

from bot.cli import remote
from bot.cli.copying import copy as copy_between
from bot.cli.copying import end_of
from bot.cli.place import Place, as_json, at_vers, everyone
from bot.cli.tables import age, note, print_fact, print_rows
from bot.core.errors import BotError, UserError
from bot.core.models import CommitId, VmId
from bot.vms.base import Shell, VmInfo

COLUMNS = ("id", "name", "state", "age", "deployment", "run", "agent")
_OWN_ARGUMENTS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group()
def commands() -> None:
    """Machines by hand."""


@commands.command("list")
@everyone
@as_json
@at_vers
def list_(at: Place, *, everyone: bool, as_json: bool) -> None:
    """The machines of this deployment."""
    rows = [_row(vm) for vm in at.machines(everyone=everyone)]
    print_rows(rows, COLUMNS, as_json=as_json, empty="No machines.")


@commands.command()
@click.option("--name", default="", help="A name by which commands find it.")
@click.option("--memory-mib", type=click.IntRange(min=128), help="VM_MEMORY_MIB without it.")
@click.option("--disk-mib", type=click.IntRange(min=512), help="VM_DISK_MIB without it.")
@click.option("--vcpus", type=click.IntRange(min=1), help="VM_VCPUS without it.")
@as_json
@at_vers
def create(
    at: Place, *, name: str, memory_mib: int | None, disk_mib: int | None, vcpus: int | None, as_json: bool
) -> None:
    """A new machine from Vers' default image."""
    settings = at.settings
    vm = at.vers.create(
        memory_mib=memory_mib or settings.vm_memory_mib,
        disk_mib=disk_mib or settings.vm_disk_mib,
        vcpus=vcpus or settings.vm_vcpus,
        labels=_labels(at, name),
    )
    _print_new([vm], as_json=as_json)


@commands.command()
@click.argument("machine")
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 20))
@click.option("--name", default="", help="A name for the new machine; with --count, its beginning.")
@everyone
@as_json
@at_vers
def branch(at: Place, machine: str, *, count: int, name: str, everyone: bool, as_json: bool) -> None:
    """New machines that go on from where MACHINE is now."""
    source = at.machine(machine, everyone=everyone)
    made = at.vers.branch_vm(source.id, count)
    _adopt(at, made, name)
    _print_new(made, as_json=as_json)
    if len(made) < count:
        raise UserError(f"Only {len(made)} of {count} machines came.")


@commands.command()
@click.argument("machine")
@click.option("--name", default="", help="Of the snapshot.")
@everyone
@as_json
@at_vers
def commit(at: Place, machine: str, *, name: str, everyone: bool, as_json: bool) -> None:
    """Take a snapshot of MACHINE, which goes on running. It costs until it is deleted."""
    vm = at.machine(machine, everyone=everyone)
    made = at.vers.commit(vm.id, name or f"{at.deployment}-{vm.id[:8]}-{int(time.time())}")
    print_fact(made, {"commit_id": made, "vm_id": vm.id}, as_json=as_json)


@commands.command()
@click.argument("commit_id", metavar="COMMIT")
@click.option("--name", default="", help="A name for the new machine.")
@as_json
@at_vers
def restore(at: Place, commit_id: str, *, name: str, as_json: bool) -> None:
    """A new machine from the snapshot COMMIT."""
    made = at.vers.branch(CommitId(commit_id))
    _adopt(at, made, name)
    _print_new(made, as_json=as_json)


@commands.command()
@click.argument("machine")
@everyone
@as_json
@at_vers
def pause(at: Place, machine: str, *, everyone: bool, as_json: bool) -> None:
    """Let MACHINE sleep; its memory is kept where the provider keeps it."""
    _set_paused(at, machine, paused=True, everyone=everyone, as_json=as_json)


@commands.command()
@click.argument("machine")
@everyone
@as_json
@at_vers
def resume(at: Place, machine: str, *, everyone: bool, as_json: bool) -> None:
    """Wake MACHINE."""
    _set_paused(at, machine, paused=False, everyone=everyone, as_json=as_json)


def _set_paused(at: Place, machine: str, *, paused: bool, everyone: bool, as_json: bool) -> None:
    vm = at.machine(machine, everyone=everyone)
    at.vers.set_paused(vm.id, paused=paused)
    state = at.vers.status(vm.id).state
    print_fact(f"{vm.id} {state}", {"id": vm.id, "state": state}, as_json=as_json)


@commands.command()
@click.argument("machines", nargs=-1, required=True, metavar="MACHINE...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@everyone
@as_json
@at_vers
def delete(at: Place, machines: tuple[str, ...], *, yes: bool, everyone: bool, as_json: bool) -> None:
    """Delete machines with all that is on them."""
    vms = list({vm.id: vm for vm in (at.machine(m, everyone=everyone) for m in machines)}.values())
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("Deleting asks first, and nobody can answer here: say --yes.")
        print_rows([_row(vm) for vm in vms], COLUMNS, as_json=False, empty="")
        click.confirm(f"Delete {len(vms)} machine{'s' if len(vms) > 1 else ''}?", abort=True)
    failures: list[BotError] = []
    gone: list[str] = []
    for vm in vms:
        try:
            at.vers.delete(vm.id)
            gone.append(vm.id)
        except BotError as error:
            failures.append(error)
    print_fact(f"deleted {', '.join(gone) or 'nothing'}", {"deleted": gone}, as_json=as_json)
    if failures:
        raise failures[0]


@commands.command("exec", context_settings=_OWN_ARGUMENTS)
@click.option("--timeout", "timeout_s", default=0.0, help="Seconds; exit status 124 after them. 0: none.")
@click.option("-n", "no_stdin", is_flag=True, help="Do not read standard input.")
@everyone
@click.argument("machine")
@click.argument("command", nargs=-1, required=True)
@at_vers
def exec_(
    at: Place, machine: str, command: tuple[str, ...], *, timeout_s: float, no_stdin: bool, everyone: bool
) -> None:
    """Run COMMAND on MACHINE as root, with the standard streams and exit status of here.

    Several words are a program and its arguments, exactly as given; a single word is a line for the shell.
    """
    vm = at.machine(machine, everyone=everyone).id
    words = command[1:] if command[0] == "--" else command
    remote.leave(remote.execute(at, vm, words, timeout_s=timeout_s, read_stdin=not no_stdin))


@commands.command(context_settings=_OWN_ARGUMENTS)
@everyone
@click.argument("machine")
@click.argument("command", nargs=-1)
@at_vers
def ssh(at: Place, machine: str, command: tuple[str, ...], *, everyone: bool) -> None:
    """A terminal on MACHINE, or COMMAND through OpenSSH (`-t` and the like are not needed)."""
    vm = at.machine(machine, everyone=everyone).id
    words = command[1:] if command[:1] == ("--",) else command
    remote.leave(remote.login(at, vm, words))


@commands.command(hidden=True)
@click.argument("vm")
@at_vers
def line(at: Place, vm: str) -> None:
    """Standard input and output as a connection to a machine's sshd: what `ssh` uses."""
    remote.line(at, vm)
    remote.leave(0)


@commands.command()
@click.argument("source")
@click.argument("target")
@everyone
@as_json
@at_vers
def copy(at: Place, source: str, target: str, *, everyone: bool, as_json: bool) -> None:
    """Copy a file or folder: SOURCE and TARGET are paths here, or MACHINE:path (also both)."""
    shells: list[Shell] = []

    def shell_of(name: str) -> Shell:
        shells.append(at.connect(at.machine(name, everyone=everyone).id))
        return shells[-1]

    try:
        begin, end = end_of(source, shell_of), end_of(target, shell_of)
        if not shells:
            raise UserError("Neither path is on a machine: write MACHINE:path for the one that is.")
        left_out = copy_between(begin, end)
    except OSError as error:
        raise UserError(f"{error.filename or source}: {error.strerror}") from error
    finally:
        for shell in shells:
            shell.close()
    for name in left_out:
        note(f"left out, because it leads out of the folder: {name}")
    print_fact(f"copied {source} to {target}", {"copied": True, "left_out": left_out}, as_json=as_json)


@commands.command()
@click.argument("machine")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@everyone
@as_json
@at_vers
def logs(at: Place, machine: str, *, stream: str | None, everyone: bool, as_json: bool) -> None:
    """What commands printed that were run on MACHINE over Vers' API."""
    vm = at.machine(machine, everyone=everyone).id
    entries = at.vers.logs(vm, stream)
    if as_json:
        rows = [{"stream": name, "text": data.decode("utf-8", "replace")} for name, data in entries]
        print_rows(rows, (), as_json=True, empty="")
        return
    for name, data in entries:
        click.echo(data, nl=False, err=name == "stderr")


def _row(vm: VmInfo) -> dict[str, Any]:
    labels = vm.labels
    told = {key: labels.get(key, "") for key in ("name", "deployment", "run", "agent")}
    return {
        "id": vm.id,
        "state": str(vm.state),
        "age": age(vm.created_at, time.time()),
        "created_at": vm.created_at,
        **told,
        "labels": dict(labels),
    }


def _labels(at: Place, name: str) -> dict[str, str]:
    return at.labels(purpose="by-hand", **({"name": name} if name else {}))


def _adopt(at: Place, vms: list[VmId], name: str) -> None:
    if len(vms) > 1 and name:
        for number, vm in enumerate(vms, 1):
            at.label_or_delete([vm], _labels(at, f"{name}-{number}"))
    else:
        at.label_or_delete(vms, _labels(at, name))


def _print_new(vms: list[VmId], *, as_json: bool) -> None:
    print_fact("\n".join(vms), {"vms": [{"id": vm} for vm in vms]}, as_json=as_json)
