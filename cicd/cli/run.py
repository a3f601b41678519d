"""`cicd run`: starts a run, and follows it if asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.client import Client
    from cicd.messages.run import RunRecord

EXIT_FAILED = 1


@click.command()
@click.argument("pipeline")
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="KEY=VALUE",
    help="A parameter of the run; can be given often.",
)
@click.option(
    "--priority",
    type=click.IntRange(-100, 100),
    default=0,
    show_default=True,
    help="Among what waits, the higher goes first.",
)
@click.option("--supersede", is_flag=True, help="Cancel the older runs of the same pipeline and branch.")
@click.option("--force", is_flag=True, help="Start in spite of runs that this pipeline depends on: active or failed.")
@click.option("-f", "--follow", is_flag=True, help="Print logs and changes until it has ended; exit 1 if it failed.")
@common
@pass_settings
def run(
    settings: Settings,
    *,
    pipeline: str,
    params: tuple[str, ...],
    priority: int,
    supersede: bool,
    force: bool,
    follow: bool,
) -> int:
    """Start a run of PIPELINE and print its id and name."""
    from cicd.cli.run_summary import run_name
    from cicd.messages.client import RunAnswer, StartRun
    from cicd.messages.run import RunState

    values = parse_params(params)
    with settings.client() as client:
        call = StartRun(pipeline=pipeline, params=values, priority=priority, supersede=supersede, force=force)
        started = client.ask(call, RunAnswer).run
        if not follow:
            if settings.as_json:
                settings.out.json(started)
            else:
                settings.out.line(f"{started.id} {run_name(started)}")
                if started.message:
                    settings.out.note(started.message)
            return EXIT_FAILED if started.state is RunState.FAILED else 0
        if not settings.as_json:
            settings.out.line(f"{started.id} {run_name(started)}")
        return follow_run(settings, client, started)


def follow_run(settings: Settings, client: Client, started: RunRecord) -> int:
    """Follow a run on the screen and return the exit code: 0 if it succeeded, else 1."""
    from cicd.cli.follow import RunFollower
    from cicd.cli.run_display import display_for
    from cicd.cli.run_summary import print_summary, run_name
    from cicd.clock import SystemClock
    from cicd.messages.run import RunState

    follower = RunFollower(client, started.id, display_for(settings.out), SystemClock())
    try:
        ended = follower.follow()
    except KeyboardInterrupt:
        name = run_name(started)
        settings.out.note(f"{name} goes on: 'cicd runs cancel {name}' ends it, 'cicd logs {name} -f' follows it again")
        raise
    if not settings.as_json:
        print_summary(settings.out, ended, follower.jobs)
    return 0 if ended.state is RunState.SUCCEEDED else EXIT_FAILED


def parse_params(texts: tuple[str, ...]) -> dict[str, str]:
    """Return `KEY=VALUE`s as a dict.

    Raises:
        click.UsageError: one has no `=`, or a key is there twice.
    """
    values: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            click.get_current_context().fail(f"-p {text}: expected KEY=VALUE")
        if key in values:
            click.get_current_context().fail(f"-p {key}: given twice")
        values[key] = value
    return values
