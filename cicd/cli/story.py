"""What the records of a run say of how it went, as lines of a story."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cicd.cli import words
from cicd.cli.run_summary import cancel_reason
from cicd.cli.verdicts import shown_by, verdict
from cicd.messages.client import JobView, RunAnswer, StoryLine
from cicd.messages.run import AttemptRecord, JobState, RunRecord, RunState

RUN, STARTED, ENDED = "run", "started", "ended"
"""Kinds of the lines here, beside those of `StoryKind`."""


def of_records(answer: RunAnswer, job: str = "") -> list[StoryLine]:
    """Return the lines of a run and its jobs.

    Args:
        answer: the run, whole, attempts included.
        job: only what concerns the job of this name; empty: everything.
    """
    lines = list(_of_run(answer.run))
    for view in answer.jobs:
        if job in ("", view.job.name):
            lines += _of_job(view)
    return in_order(lines)


def in_order(lines: Iterable[StoryLine]) -> list[StoryLine]:
    """Return lines by time; the end of the run follows what happened at that moment."""
    return sorted(lines, key=lambda line: (line.at_s, line.kind == ENDED and not line.job))


def _of_run(run: RunRecord) -> Iterator[StoryLine]:
    params = ", ".join(f"{name}={value}" for name, value in run.params.items())
    started = f"created by {run.trigger.by} ({run.trigger.kind})"
    what = f", commit {run.commit[:10]}" + (f", with {params}" if params else "")
    yield StoryLine(at_s=run.created_s, text=started + what, kind=RUN)
    if run.finished_s:
        about = f": {run.message}" if run.message else ""
        if run.state is RunState.CANCELLED and run.cancel_by:
            about = f"{',' if run.superseded_by else ''} {cancel_reason(run)}"
        yield StoryLine(at_s=run.finished_s, text=f"the run has ended: {run.state.value}{about}", kind=ENDED)


def _of_job(view: JobView) -> Iterator[StoryLine]:
    job = view.job
    for attempt in view.attempts:
        yield from _of_attempt(job.name, attempt)
    last = view.attempts[-1].result if view.attempts else None
    told = last is not None and last.status.value == job.state.value and job.message in ("", last.message)
    if job.finished_s and not told:
        text = f"{_state(job.state)}: {job.message}" if job.message else _state(job.state)
        yield StoryLine(at_s=job.finished_s, text=text, kind=ENDED, job=job.name)


def _of_attempt(job: str, attempt: AttemptRecord) -> Iterator[StoryLine]:
    def line(at_s: float, text: str, kind: str) -> StoryLine:
        return StoryLine(at_s=at_s, text=text, kind=kind, job=job, attempt=attempt.attempt)

    where = f"attempt {attempt.attempt} on {attempt.minion_name}"
    if attempt.started_s:
        pid = f" (pid {attempt.pid})" if attempt.pid else ""
        yield line(max(attempt.started_s, attempt.assigned_s), f"{where} runs{pid}", STARTED)
    if attempt.result is not None:
        yield line(attempt.finished_s, f"{where} {_end(attempt)}", ENDED)


def _end(attempt: AttemptRecord) -> str:
    result = attempt.result
    if result is None:
        return ""
    parts = [result.message, verdict(result), *shown_by(result)]
    told = "; ".join(dict.fromkeys(part for part in parts if part))
    ran = f" after {words.duration(result.run_s)}" if result.run_s else ""
    return f"{'was' if result.status.value != 'succeeded' else 'has'} {_state(result.status)}{ran}" + (
        f": {told}" if told else ""
    )


def _state(state: JobState | str) -> str:
    return str(state).replace("_", " ")
