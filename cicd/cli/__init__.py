"""The command line, one file per noun. `main` is the console script.

What starts it is quick: a command's file is imported when the command is used, and imports rich, ZeroMQ and the
messages when it needs them.
"""

from __future__ import annotations

import click

from cicd.cli.root import Root
from cicd.cli.settings import common

_COMMANDS = {
    "dev": ("cicd.cli.dev:dev", "A whole cluster on this machine until Ctrl-C."),
    "run": ("cicd.cli.run:run", "Start a run of a pipeline."),
    "runs": ("cicd.cli.runs:runs", "List, show, explain, cancel, retry and resolve runs."),
    "logs": ("cicd.cli.logs:logs", "Print the logs of a run."),
    "pipelines": ("cicd.cli.pipelines:pipelines", "Create, list, show, recompile and delete pipelines."),
    "minions": ("cicd.cli.minions:minions", "List, show, suspend, drain, resume and remove minions."),
    "tokens": ("cicd.cli.tokens:tokens", "Create, list and revoke the tokens that minions join with."),
    "disk": ("cicd.cli.disk:disk", "What minions and master keep on their disks, and what was deleted and why."),
    "status": ("cicd.cli.status:status", "Is the master there, and what is it?"),
    "tap": ("cicd.cli.tap:tap", "Print what crosses a process's sockets."),
    "replay": ("cicd.cli.replay:replay", "Decide again what a master decided, and compare."),
    "master": ("cicd.cli.servers:master", "Run a master."),
    "minion": ("cicd.cli.servers:minion", "Run a minion."),
}


@click.group(
    "cicd",
    cls=Root,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="cicd", prog_name="cicd", message="%(prog)s %(version)s")
@common
def cli() -> None:
    """CI/CD whose pipelines are programs.

    First steps: `cicd dev DIR` runs the pipeline in DIR on a cluster of its own, right here.

    Exit codes: 0 ok, 1 the run or the build failed, 2 wrong usage or configuration, 3 the master cannot be reached,
    4 refused, 130 Ctrl-C.
    """


def main() -> None:
    """Run the command line and exit."""
    cli()
