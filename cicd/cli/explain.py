"""`cicd runs explain`: what happened to a run and why, in the order in which it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.cli.output import Output
    from cicd.client import Client
    from cicd.messages.client import RunAnswer, StoryLine

_HELP = """Tell what happened to a run and why.

Why its jobs waited and for what, why each was given to that minion, what was tried and how it ended, who interfered,
what it waits for now. From the run's records and the journal of the master's decisions; where the journal does not
reach, it says so.

RUN is an id, PIPELINE#NUMBER, or a pipeline's name for its newest run; JOB one of its jobs (default: all of them).
"""


@click.command(help=_HELP)
@click.argument("run")
@click.argument("job", required=False, default="")
@common
@pass_settings
def explain(settings: Settings, run: str, job: str) -> None:
    """Explain a run."""
    from cicd.cli.pages import whole_run
    from cicd.cli.story import in_order, of_records
    from cicd.messages.client import ExplainRun, StoryLines

    with settings.client() as client:
        answer = whole_run(client, run)
        told: list[StoryLine] = []
        # By its id: a pipeline's newest run may be another one by now.
        for page in client.stream(ExplainRun(run=answer.run.id, job=job)):
            if isinstance(page, StoryLines):
                told += page.lines
        answer = _once_more(client, answer)
    lines = in_order([*of_records(answer, job), *told])
    if settings.as_json:
        settings.out.json({"run": answer.run, "lines": lines})
    else:
        _print(settings.out, answer, lines)


def _once_more(client: Client, answer: RunAnswer) -> RunAnswer:
    """Return the run as it is after its story was read, if it was active before: no record is older than the story."""
    from cicd.cli.pages import whole_run

    return answer if answer.run.finished_s else whole_run(client, answer.run.id)


def _print(out: Output, answer: RunAnswer, lines: list[StoryLine]) -> None:
    from cicd.cli import words
    from cicd.cli.run_summary import run_name

    run = answer.run
    out.line(f"{run_name(run)}, {run.state.value}; times are since {words.moment(run.created_s)}")
    out.line("")
    out.table(
        ["after>", "job", "what"],
        [
            (_after(line, run.created_s), line.job, f"now: {line.text}" if line.kind == "now" else line.text)
            for line in lines
        ],
    )


def _after(line: StoryLine, since_s: float) -> str:
    from cicd.cli import words

    return words.duration(max(0.0, line.at_s - since_s))
