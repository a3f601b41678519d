"""`cicd logs`: one job's log as it is, byte for byte; or those of all jobs, each line behind its job's name."""

from __future__ import annotations

import click

from cicd.cli.settings import Settings, common, pass_settings


@click.command()
@click.argument("run")
@click.argument("job", required=False)
@click.option("--attempt", type=click.IntRange(1), help="Which attempt of the job; default: the newest.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until it is whole.")
@common
@pass_settings
def logs(settings: Settings, run: str, job: str | None, attempt: int | None, follow: bool) -> None:  # noqa: FBT001
    """Print the log of JOB in RUN, or the logs of all its jobs.

    RUN is an id, PIPELINE#NUMBER, or a pipeline's name for its newest run. The log of one job is printed as it is; how
    it ended (complete, lines, sha256) is said on stderr.
    """
    from cicd.cli import log_printing
    from cicd.cli.pages import whole_run
    from cicd.messages.client import ReadLog

    if attempt is not None and job is None:
        click.get_current_context().fail("--attempt needs a JOB")
    with settings.client() as client:
        answer = whole_run(client, run)
        if job is not None:
            # By number: should the job be tried again meanwhile, this is still the log that was asked for.
            newest = next((view.job.attempt for view in answer.jobs if view.job.name == job), 0)
            call = ReadLog(run=answer.run.id, job=job, attempt=attempt or newest, follow=follow)
            log_printing.print_one(settings.out, client, call)
        elif follow:
            log_printing.follow_all(settings.out, client, answer)
        else:
            log_printing.print_all(settings.out, client, answer)
