"""`cicd disk`: what lies on the disks of the minions and of the master, and what was deleted from them and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.messages.client import DiskAnswer, MinionView
    from cicd.messages.disk import Deletion


@click.command()
@click.option("--deletions", is_flag=True, help="What was deleted by rule, where, when and why; newest first.")
@common
@pass_settings
def disk(settings: Settings, deletions: bool) -> None:  # noqa: FBT001  click's signature
    """Show what the minions and the master keep on their disks, or what was deleted from them."""
    from cicd.cli.pages import all_minions
    from cicd.messages.client import DeletionPage, DiskAnswer, ListDeletions, ShowDisk

    with settings.client() as client:
        found = all_minions(client)
        if deletions:
            _deletions(settings, found, client.ask(ListDeletions(), DeletionPage).deletions)
        else:
            _sizes(settings, found, client.ask(ShowDisk(), DiskAnswer))


def _sizes(settings: Settings, found: list[MinionView], master: DiskAnswer) -> None:
    from cicd.cli import words
    from cicd.messages.disk import DiskUse

    if settings.as_json:
        minions = [{"name": view.minion.name, "disk": view.load.disk, "use": view.load.use} for view in found]
        settings.out.json({"master": master.disk, "minions": minions})
        return
    disk = master.disk
    parts = [
        (name, words.size(size))
        for name, size in (
            ("store", disk.store_bytes),
            ("logs", disk.logs_bytes),
            ("plugins", disk.plugins_bytes),
            ("sources", disk.sources_bytes),
            ("mirrors", disk.mirrors_bytes),
            ("build logs", disk.builds_bytes),
            ("other", disk.other_bytes),
        )
    ]
    settings.out.fields(
        [
            ("master", f"{words.size(disk.free_bytes)} of {words.size(disk.total_bytes)} free in {master.data_dir}"),
            ("keeps", ", ".join(f"{name} {size}" for name, size in parts) if disk.measured_s else "not yet measured"),
            ("reserve", "" if disk.reserve_held else "used up: nothing new is begun until there is space"),
        ]
    )
    rows = []
    for view in found:
        use, total = view.load.use or DiskUse(), view.load.disk
        known = view.load.use is not None
        rows.append(
            (
                view.minion.name,
                *(
                    words.size(size) if known else "-"
                    for size in (use.workspaces_bytes, use.plugins_bytes, use.sources_bytes, use.spool_bytes)
                ),
                words.size(total.free_bytes) if total.total_bytes else "-",
                words.size(total.total_bytes) if total.total_bytes else "-",
            )
        )
    settings.out.table(
        ["minion", "workspaces>", "plugins>", "sources>", "logs>", "free>", "disk>"],
        rows,
        empty="no minion has joined yet",
    )


def _deletions(settings: Settings, found: list[MinionView], master: tuple[Deletion, ...]) -> None:
    from cicd.cli import words
    from cicd.cli.output import when
    from cicd.clock import SystemClock

    done = [("master", deletion) for deletion in master]
    done += [
        (view.minion.name, deletion)
        for view in found
        for deletion in (view.load.use.deletions if view.load.use is not None else ())
    ]
    done.sort(key=lambda one: -one[1].at_s)
    if settings.as_json:
        settings.out.json([{"where": where, "deletion": deletion} for where, deletion in done])
        return
    now_s = SystemClock().wall_s()
    settings.out.table(
        ["when", "where", "what", "name", "size>", "why"],
        [
            (
                when(settings.out, deletion.at_s, now_s),
                where,
                deletion.kind,
                deletion.name,
                words.size(deletion.size_bytes) if deletion.size_bytes else "-",
                deletion.reason,
            )
            for where, deletion in done
        ],
        empty="nothing was deleted by rule lately",
    )


def fields(view: MinionView) -> list[tuple[str, str]]:
    """Return what of a minion's disk is shown with it."""
    from cicd.cli import words

    use = view.load.use
    if use is None:
        return []
    allowed = f" of {words.size(use.allowed_bytes)} allowed" if use.allowed_bytes else ""
    folders = [
        f"{words.size(one.size_bytes)}  {one.pipeline or '?'}  {one.job}.{one.attempt}{'  (kept)' if one.ended else ''}"
        for one in use.attempts
    ]
    pipelines = [f"{words.size(one.size_bytes)}  {one.pipeline or '?'}  {one.folders} folders" for one in use.pipelines]
    gone = [f"{words.moment(one.at_s)}  {one.kind} {one.name}: {one.reason}" for one in use.deletions]
    return [
        ("keeps", f"{words.size(use.total_bytes)}{allowed}"),
        ("workspaces", f"{words.size(use.workspaces_bytes)} in {use.workspaces}"),
        ("plugins", f"{words.size(use.plugins_bytes)} in {use.plugins}"),
        ("sources", f"{words.size(use.sources_bytes)} in {use.sources}"),
        ("logs to send", words.size(use.spool_bytes)),
        ("by pipeline", "\n".join(pipelines)),
        ("by attempt", "\n".join(folders)),
        ("deleted", "\n".join(gone)),
    ]
