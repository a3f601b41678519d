"""`cicd replay`: decides again what a master decided, from the journal of its inputs, and says where that differs."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.cli.output import Output
    from cicd.replay.reader import Segment
    from cicd.replay.verdict import Difference, Verdict

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
EXIT_DIFFERS = 1


class Time(click.ParamType[float]):
    """A moment as seconds since the epoch: ISO 8601 (UTC where it names no zone), or how long ago."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the moment."""
        from cicd.clock import SystemClock

        ago = _AGO.fullmatch(value)
        if ago is not None:
            return SystemClock().wall_s() - float(ago[1]) * _SECONDS[ago[2]]
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is neither a time such as 2026-01-05T08:00:00Z nor 30s, 10min, 2h, 1d ago", param, ctx
            )
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="The master's data folder, or a copy of it. Default: that of this user's master.",
)
@click.option(
    "--from", "from_s", type=Time(), help="From this time on: 2026-01-05T08:00:00Z, or 30s, 10min, 2h, 1d ago."
)
@common
@pass_settings
def replay(settings: Settings, data_dir: Path | None, from_s: float | None) -> None:
    """Decide again what a master decided, from the journal of its inputs, and compare.

    Reads files only; the master may be running. Only the version that decided decides the same: use the one that wrote
    the journal. Exit codes: 0 all the same, 1 something differs, 2 there is nothing that can be read.
    """
    import os

    from cicd.config.places import default_data_dir
    from cicd.errors import UserError
    from cicd.replay import verdict
    from cicd.replay.reader import JOURNAL, read

    folder = (data_dir or default_data_dir("master", os.environ)) / JOURNAL
    try:
        found = read(folder, from_s)
        if not found:
            raise UserError(f"there is no journal in {folder}", code="journal")
        mine = [segment for segment in found if segment.is_of_this_version]
        told = verdict.replay(mine)
    except OSError as error:
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}", code="journal") from None
    others = [segment for segment in found if not segment.is_of_this_version]
    if settings.as_json:
        settings.out.json(_plain(told, others))
    else:
        _print(settings.out, told, others)
    if told.difference is not None:
        sys.exit(EXIT_DIFFERS)
    if not mine:
        raise UserError("nothing of this journal was written by this version", code="journal")


def _print(out: Output, told: Verdict, others: list[Segment]) -> None:
    from cicd.cli.words import count

    if others:
        versions = sorted({f"{segment.header.version} ({segment.header.core})" for segment in others})
        text = f"{count(len(others), 'segment')} left out: written by another version: {', '.join(versions)}"
        out.note(f"{text}; this is {_this()}")
    for gap in told.gaps:
        out.note(f"gap before {gap}")
    if told.difference is not None:
        _print_difference(out, told.difference)
        return
    batches, decisions = (
        f"{number} {noun}{'' if number == 1 else suffix}"
        for number, noun, suffix in ((told.batches, "batch", "es"), (told.decisions, "decision", "s"))
    )
    if told.segments:
        out.line(f"{batches}, {decisions}: all the same")


def _print_difference(out: Output, difference: Difference) -> None:
    from cicd.cli.words import moment

    where = f"{difference.segment}, batch {difference.batch}, {moment(difference.wall_s)}"
    out.line(f"the first difference: {where}", "red")
    for title, lines in (
        ("told", difference.events),
        ("decided then", difference.expected),
        ("decided now", difference.got),
    ):
        out.line(f"{title}:")
        for line in lines or ("nothing",):
            out.line(f"  {line}")


def _plain(told: Verdict, others: list[Segment]) -> dict[str, object]:
    difference = told.difference
    return {
        "same": difference is None and told.segments > 0,
        "segments": told.segments,
        "batches": told.batches,
        "decisions": told.decisions,
        "gaps": list(told.gaps),
        "other_versions": sorted({segment.header.version for segment in others}),
        "difference": difference and {name: getattr(difference, name) for name in difference.__dataclass_fields__},
    }


def _this() -> str:
    from cicd import __version__
    from cicd.replay.version import core_digest

    return f"{__version__} ({core_digest()})"
