"""`cicd runs cancel`, `retry` and `resolve`: what people do about runs."""

from __future__ import annotations

import click

from cicd.cli.settings import Settings, common, pass_settings

RUN_HELP = "RUN is an id, PIPELINE#NUMBER, or a pipeline's name for its newest run."
_CANCEL_HELP = f"""Cancel a run, or one job of it: what runs is asked to stop, then killed with all that it started.

Cancelling again with a shorter grace counts. {RUN_HELP}"""
_RETRY_HELP = f"""Run the jobs of a run that did not succeed again, as a new run of the same commit and params.

Jobs that succeeded, as did all that they need, are carried over with what they returned. {RUN_HELP}"""
_RESOLVE_HELP = f"""Say what became of a job in doubt: one that is not idempotent and was lost while it may have run.

{RUN_HELP}"""


@click.command(help=_CANCEL_HELP)
@click.argument("run")
@click.option("--job", default="", metavar="NAME", help="Only this job.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Between asking and killing (default: the master's cluster.cancel_grace_s).",
)
@click.option("--force", is_flag=True, help="Kill at once: --grace 0.")
@common
@pass_settings
def cancel(settings: Settings, run: str, job: str, grace: float | None, force: bool) -> None:  # noqa: FBT001  click
    """Cancel a run, or one job of it."""
    from cicd.cli.run_summary import run_name
    from cicd.messages.client import CancelRun, RunAnswer

    if force and grace is not None:
        click.get_current_context().fail("--force is --grace 0: give one of them")
    call = CancelRun(run=run, job=job, grace_s=0.0 if force else grace)
    with settings.client() as client:
        answer = client.ask(call, RunAnswer)
    if settings.as_json:
        settings.out.json(answer.run)
    else:
        what = f"{job} of {run_name(answer.run)}" if job else run_name(answer.run)
        settings.out.line(f"{what} is being cancelled")


@click.command(help=_RETRY_HELP)
@click.argument("run")
@click.option("--all", "all_jobs", is_flag=True, help="All jobs, also those that succeeded.")
@click.option("-f", "--follow", is_flag=True, help="Print logs and changes until it has ended; exit 1 if it failed.")
@common
@pass_settings
def retry(settings: Settings, run: str, all_jobs: bool, follow: bool) -> int:  # noqa: FBT001  click
    """Run the failed jobs of a run again, as a new run."""
    from cicd.cli.run import follow_run
    from cicd.cli.run_summary import run_name
    from cicd.messages.client import RetryRun, RunAnswer

    with settings.client() as client:
        started = client.ask(RetryRun(run=run, all_jobs=all_jobs), RunAnswer).run
        if not settings.as_json:
            settings.out.line(f"{started.id} {run_name(started)}")
        elif not follow:
            settings.out.json(started)
        return follow_run(settings, client, started) if follow else 0


@click.command(help=_RESOLVE_HELP)
@click.argument("run")
@click.argument("job")
@click.option(
    "--as",
    "how",
    type=click.Choice(["succeeded", "failed", "retry"]),
    help="It succeeded; it failed; or it is safe to run it again.",
)
@click.option("--why", default="", help="How you know; kept with the job.")
@common
@pass_settings
def resolve(settings: Settings, run: str, job: str, how: str | None, why: str) -> None:
    """Say what became of a job in doubt."""
    from cicd.cli.run_summary import run_name
    from cicd.messages.client import ResolveJob, RunAnswer
    from cicd.messages.run import ResolvedAs

    if how is None:
        click.get_current_context().fail("what became of it? --as succeeded, failed or retry")
    call = ResolveJob(run=run, job=job, how=ResolvedAs(how), why=why)
    with settings.client() as client:
        answer = client.ask(call, RunAnswer)
    if settings.as_json:
        settings.out.json(answer.run)
    else:
        done = "runs again" if call.how is ResolvedAs.RETRY else f"counts as {how}"
        settings.out.line(f"{job} of {run_name(answer.run)} {done}")
