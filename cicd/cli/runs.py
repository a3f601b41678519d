"""`cicd runs`: list and show them; what steers them is in `run_control`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.explain import explain
from cicd.cli.run_control import RUN_HELP, cancel, resolve, retry
from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.cli.output import Output
    from cicd.messages.client import JobView, RunAnswer


@click.group()
def runs() -> None:
    """List, show, explain, cancel, retry and resolve runs."""


runs.add_command(explain)


@runs.command("list")
@click.option("--pipeline", default="", help="Only runs of this pipeline.")
@click.option("--active", is_flag=True, help="Only runs that have not ended.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many, newest first.")
@common
@pass_settings
def list_(settings: Settings, pipeline: str, active: bool, limit: int) -> None:  # noqa: FBT001  click
    """List runs, newest first."""
    from msgspec.structs import asdict

    from cicd.cli import words
    from cicd.cli.output import when
    from cicd.cli.pages import runs_page
    from cicd.cli.run_summary import run_name, state_of
    from cicd.clock import SystemClock

    with settings.client() as client:
        page = runs_page(client, pipeline=pipeline, active=active, limit=limit)
    found = page.runs
    if settings.as_json:
        settings.out.json([{**asdict(run), "waits": page.waits.get(run.id, "")} for run in found])
        return
    now_s = SystemClock().wall_s()
    settings.out.table(
        ["run", "state", "created", "time>", "by", "commit", "id"],
        [
            (
                run_name(run),
                state_of(run, page.waits.get(run.id, "")),
                when(settings.out, run.created_s, now_s),
                words.between(run.started_s, run.finished_s),
                run.trigger.by,
                run.commit[:10],
                run.id,
            )
            for run in found
        ],
        empty="no runs" if pipeline or active else "no runs yet: 'cicd run PIPELINE' starts one",
    )


@runs.command(help=f"Show a run and its jobs: why each waits, where it ran, how it ended.\n\n{RUN_HELP}")
@click.argument("run")
@common
@pass_settings
def show(settings: Settings, run: str) -> None:
    """Show a run."""
    from cicd.cli.pages import whole_run

    with settings.client() as client:
        answer = whole_run(client, run)
    if settings.as_json:
        settings.out.json(answer)
    else:
        print_run(settings.out, answer)


runs.add_command(cancel)
runs.add_command(retry)
runs.add_command(resolve)


def print_run(out: Output, answer: RunAnswer) -> None:
    """Print a run, its jobs, their attempts, and what the failed ones said."""
    from cicd.cli import words
    from cicd.cli.output import when
    from cicd.cli.run_summary import run_name, state_of, status
    from cicd.clock import SystemClock

    run = answer.run
    now_s = SystemClock().wall_s()
    source = run.repository + (f" at {run.ref}" if run.ref else "")
    out.fields(
        [
            ("run", run_name(run)),
            ("id", run.id),
            ("state", state_of(run, answer.waits)),
            ("priority", str(run.priority) if run.priority else ""),
            ("depends on", "nothing: forced" if run.forced else ", ".join(each.name for each in run.depends_on)),
            ("runs again", run.retry_of or ""),
            ("started by", f"{run.trigger.by} ({run.trigger.kind})"),
            ("created", when(out, run.created_s, now_s)),
            ("time", words.between(run.started_s, run.finished_s)),
            ("source", f"{source}, commit {run.commit[:10]}" if source else run.commit),
            ("plugin", run.plugin[:12]),
            ("params", "\n".join(f"{key}={value}" for key, value in run.params.items())),
        ]
    )
    out.line("")
    out.table(
        ["job", "state", "minion", "wait>", "time>", "about"],
        [
            (
                view.job.name,
                status(view.job),
                view.job.minion_name or "-",
                words.between(view.job.queued_s, view.job.started_s),
                words.between(view.job.started_s, view.job.finished_s),
                view.waits or view.job.message,
            )
            for view in answer.jobs
        ],
    )
    for view in answer.jobs:
        _print_attempts(out, view)


def _print_attempts(out: Output, view: JobView) -> None:
    from cicd.cli import words
    from cicd.cli.verdicts import shown_by, verdict

    for attempt in view.attempts:
        result = attempt.result
        told = len(view.attempts) > 1 or (result is not None and result.failure_kind.value)
        if not told:
            continue
        how = "running" if result is None else result.status.value.replace("_", " ")
        details = []
        if result is not None:
            bare = not result.evidence.blame  # else they are among the evidence
            details = [
                result.message,
                f"exit code {result.exit_code}" if bare and result.exit_code is not None else "",
                f"signal {result.signal}" if bare and result.signal else "",
                f"{result.failure_kind.value} failure" if result.failure_kind.value else "",
            ]
        text = "; ".join(detail for detail in details if detail)
        out.line("")
        out.line(
            f"{view.job.name}, attempt {attempt.attempt} on {attempt.minion_name}: {how}{f': {text}' if text else ''}",
            words.style(how),
        )
        if result is not None and (whose := verdict(result)):
            out.line(f"  verdict: {whose}")
            out.line(f"  evidence: {'; '.join(shown_by(result))}")
        for line in (result.traceback if result is not None else "").splitlines():
            out.line(f"  {line}")
