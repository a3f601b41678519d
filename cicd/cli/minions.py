"""`cicd minions`: list, show, suspend, drain, resume, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.messages.client import MinionView


@click.group()
def minions() -> None:
    """List, show, suspend, drain, resume and remove minions."""


@minions.command("list")
@common
@pass_settings
def list_(settings: Settings) -> None:
    """List minions in the order in which they get jobs."""
    from cicd.cli import words
    from cicd.cli.output import when
    from cicd.cli.pages import all_minions
    from cicd.clock import SystemClock

    with settings.client() as client:
        found = all_minions(client)
    if settings.as_json:
        settings.out.json(found)
        return
    now_s = SystemClock().wall_s()
    notes = {view.minion.id: "; ".join(reasons(view)) for view in found}
    told = any(notes.values())
    settings.out.table(
        ["name", "state", "slots", "labels", "checked in", "load>", "memory free>", "disk free>", *["why"] * told],
        [
            (
                view.minion.name,
                state(view),
                f"{len(view.running)}/{view.minion.slots}",
                ", ".join(view.minion.labels) or "-",
                when(settings.out, view.seen_s, now_s),
                f"{view.load.load1:.2f}" if view.seen_s else "-",
                words.size(view.load.memory_free_bytes) if view.seen_s else "-",
                words.size(view.load.disk.free_bytes) if view.seen_s else "-",
                *[notes[view.minion.id]] * told,
            )
            for view in found
        ],
        empty="no minion has joined yet: 'cicd tokens create' makes what one joins with",
    )


@minions.command()
@click.argument("name")
@common
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show a minion."""
    from cicd.messages.client import MinionAnswer, ShowMinion

    with settings.client() as client:
        view = client.ask(ShowMinion(name=name), MinionAnswer).view
    _print_minion(settings, view)


@minions.command()
@click.argument("name")
@click.option("--why", default="", help="For those who wonder later.")
@common
@pass_settings
def suspend(settings: Settings, name: str, why: str) -> None:
    """Give a minion no new jobs until it is resumed; what runs there goes on."""
    from cicd.messages.client import MinionAnswer, SuspendMinion

    with settings.client() as client:
        view = client.ask(SuspendMinion(name=name, why=why), MinionAnswer).view
    if settings.as_json:
        settings.out.json(view)
        return
    still = f"; {len(view.running)} running there go on" if view.running else ""
    settings.out.line(f"{view.minion.name} is suspended{still}")


@minions.command()
@click.argument("name")
@click.option("--why", default="", help="For those who wonder later.")
@common
@pass_settings
def drain(settings: Settings, name: str, why: str) -> None:
    """Let a minion finish what it runs, deliver everything, and leave.

    It gets no new jobs, and its process ends with exit code 0. Started again it is suspended until it is resumed.
    """
    from cicd.messages.client import DrainMinion, MinionAnswer

    with settings.client() as client:
        view = client.ask(DrainMinion(name=name, why=why), MinionAnswer).view
    if settings.as_json:
        settings.out.json(view)
    elif view.minion.left:
        settings.out.line(f"{view.minion.name} has left already, and is suspended")
    else:
        first = f"; {len(view.running)} running there are finished first" if view.running else ""
        settings.out.line(f"{view.minion.name} is draining{first}")


@minions.command()
@click.argument("name")
@common
@pass_settings
def resume(settings: Settings, name: str) -> None:
    """Give a suspended minion jobs again; undo a drain that is not over."""
    from cicd.messages.client import MinionAnswer, ResumeMinion

    with settings.client() as client:
        view = client.ask(ResumeMinion(name=name), MinionAnswer).view
    if settings.as_json:
        settings.out.json(view)
    else:
        settings.out.line(f"{view.minion.name} is resumed")


@minions.command()
@click.argument("name")
@common
@pass_settings
def remove(settings: Settings, name: str) -> None:
    """Forget a minion: its key is let in no more, its name is free. One that holds jobs is refused."""
    from cicd.messages.client import Done, RemoveMinion

    with settings.client() as client:
        client.ask(RemoveMinion(name=name), Done)
    if settings.as_json:
        settings.out.json({"removed": name})
    else:
        settings.out.line(f"{name} is removed")


def state(view: MinionView) -> str:
    """Return in a few words whether a minion gets jobs: connection, health, what people said; all well: ready."""
    connection = "left" if view.minion.left else view.connection.value
    others = ["unhealthy"] if view.health else []
    if view.minion.suspended:
        others.append(view.minion.availability.value)
    return ", ".join([connection, *others] if connection != "ready" or not others else others)


def reasons(view: MinionView) -> list[str]:
    """Return why a minion gets no jobs, as far as somebody has said."""
    told = [reason.text for reason in view.health]
    if view.minion.suspended:
        why = f": {view.minion.suspended_why}" if view.minion.suspended_why else ""
        told.append(f"{view.minion.suspended_by}{why}")
    return told


def _print_minion(settings: Settings, view: MinionView) -> None:
    from cicd.cli import words
    from cicd.cli.disk import fields as disk_fields
    from cicd.cli.output import when
    from cicd.clock import SystemClock

    out, minion = settings.out, view.minion
    if settings.as_json:
        out.json(view)
        return
    now_s = SystemClock().wall_s()
    why = f": {minion.suspended_why}" if minion.suspended_why else ""
    since = f", {when(out, minion.suspended_s, now_s)}" if minion.suspended_s else ""
    disk = view.load.disk
    out.fields(
        [
            ("name", minion.name),
            ("id", minion.id),
            ("state", state(view)),
            ("connection", "left" if minion.left else view.connection.value),
            ("health", "\n".join(reason.text for reason in view.health) or ("well" if view.seen_s else "")),
            (minion.availability.value, f"by {minion.suspended_by}{why}{since}" if minion.suspended else ""),
            ("checked in", when(out, view.seen_s, now_s)),
            ("joined", when(out, minion.joined_s, now_s)),
            ("host", minion.hostname),
            ("platform", minion.platform),
            ("version", minion.version),
            ("slots", f"{len(view.running)} of {minion.slots} in use"),
            ("labels", ", ".join(minion.labels)),
            ("runs for", ", ".join(minion.tags)),
            ("session", str(minion.session)),
            ("load", f"{view.load.load1:.2f}" if view.seen_s else ""),
            ("memory free", words.size(view.load.memory_free_bytes) if view.seen_s else ""),
            (
                "disk",
                f"{words.size(disk.free_bytes)} of {words.size(disk.total_bytes)} free" if disk.total_bytes else "",
            ),
            *disk_fields(view),
            ("running", "\n".join(view.running)),
        ]
    )
