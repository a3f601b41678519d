"""A run's jobs as a table, and the one line that says how the run ended."""

from __future__ import annotations

from cicd.cli import words
from cicd.cli.output import Output
from cicd.messages.client import JobView
from cicd.messages.run import JobRecord, JobState, RunRecord, RunState

_ENDED_BADLY = frozenset({JobState.FAILED, JobState.TIMED_OUT, JobState.POISONED, JobState.UNKNOWN})


def run_name(run: RunRecord) -> str:
    """Return `pipeline#number`."""
    return f"{run.pipeline_name}#{run.number}"


def cancel_reason(run: RunRecord) -> str:
    """Return in words why a run is or was cancelled; empty: it is not."""
    if run.superseded_by:
        return f"superseded by {run.superseded_by}"
    return f"by {run.cancel_by}" if run.cancel_by else ""


def state_of(run: RunRecord, waits: str = "") -> str:
    """Return a run's state with what there is to say of it: why it waits, was cancelled or not started."""
    about = waits or cancel_reason(run) or run.message
    return f"{run.state.value} ({about})" if about else run.state.value


def print_summary(out: Output, run: RunRecord, views: list[JobView]) -> None:
    """Print the table of jobs, what went wrong, and how the run ended."""
    rows = [
        (job.name, job.minion_name or "-", _wait(job), words.between(job.started_s, job.finished_s), status(job))
        for job in (view.job for view in views)
    ]
    out.line("")
    out.table(["job", "minion", "wait>", "time>", "status"], rows)
    for view in views:
        if view.job.state in _ENDED_BADLY and view.job.message:
            allowed = words.is_allowed(view.job)
            out.line(f"{view.job.name}: {view.job.message}", "yellow" if allowed else "red")
    time = words.between(run.started_s, run.finished_s)
    by = f" ({cancel_reason(run)})" if run.state is RunState.CANCELLED and run.cancel_by else ""
    if run.message:
        out.line(run.message, "red")
    out.line(f"{run_name(run)} {run.state.value}{by}{f' after {time}' if time != '-' else ''}", words.style(run.state))


def status(job: JobRecord) -> str:
    """Return a job's state, with its attempt where it is not the first."""
    text = job.state.value.replace("_", " ") if job.state is not JobState.TIMED_OUT else "timed_out"
    notes = [
        "allowed" if words.is_allowed(job) else "",
        "carried over" if job.carried_from else "",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
    ]
    told = ", ".join(note for note in notes if note)
    return f"{text} ({told})" if told else text


def _wait(job: JobRecord) -> str:
    return words.between(job.queued_s, job.started_s)
