"""`cicd dev`: a whole cluster on this machine in one command."""

from __future__ import annotations

from pathlib import Path

import click

from cicd.cli.settings import Settings, common, pass_settings


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--minions", type=click.IntRange(1, 50), default=2, show_default=True, help="How many minions.")
@click.option("--slots", type=click.IntRange(1, 1000), default=2, show_default=True, help="Jobs at a time, of each.")
@click.option("-p", "--param", "params", multiple=True, metavar="KEY=VALUE", help="A parameter of the runs.")
@click.option("--once", is_flag=True, help="Run once and exit: 0 if it succeeded, else 1.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this folder; default: a temporary one, removed at the end.",
)
@common
@pass_settings
def dev(  # noqa: PLR0917  click's options
    settings: Settings,
    folder: Path | None,
    minions: int,
    slots: int,
    params: tuple[str, ...],
    once: bool,  # noqa: FBT001  click's options
    state: Path | None,
) -> int:
    """Start a master and minions, ready to use, until Ctrl-C; no configuration needed.

    With FOLDER, which holds .cicd/ or a pipeline.py, its pipeline is run as the folder is now, uncommitted work
    included (files that git ignores are not), and run again whenever something in it is saved.
    """
    from cicd.cli.dev_session import DevSession, pipeline_path
    from cicd.cli.run import parse_params

    values = parse_params(params)
    if once and folder is None:
        click.get_current_context().fail("--once needs a FOLDER")
    path = ""
    if folder is not None:
        folder = folder.resolve()
        path = pipeline_path(folder)
        if not path:
            click.get_current_context().fail(f"{folder} holds no .cicd/ folder and no pipeline.py")
    session = DevSession(settings.out, minions=minions, slots=slots, state=state)
    return session.run(folder, path, values, once=once)
