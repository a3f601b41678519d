"""What a job needs of the jobs before it: how they have to end.

A need on SUCCESS is met by a job that succeeded, or failed and was allowed to. A need on FAILURE is met by one that
failed, timed out or was poisoned, allowed or not. A need on ANY is met by every end: a cancelled or skipped job is one
too. A job whose need has ended otherwise is skipped, at once. Nothing new begins in a run that is being cancelled.
"""

from cicd.core.lifecycle import FAILURES, TERMINAL
from cicd.messages.pipeline import JobSpec, NeedOn
from cicd.messages.run import JobRecord, JobState

_WORDS = {NeedOn.SUCCESS: "", NeedOn.FAILURE: "the failure of ", NeedOn.ANY: "the end of "}


def condition(spec: JobSpec, need: str) -> NeedOn:
    """Return how the job `need` has to end for the job of `spec`."""
    return spec.needs_on.get(need, NeedOn.SUCCESS)


def is_met(spec: JobSpec, need: JobRecord) -> bool:
    """Return whether a job has ended as the job of `spec` needs it to."""
    on = condition(spec, need.name)
    if on is NeedOn.ANY:
        return need.state in TERMINAL
    if on is NeedOn.FAILURE:
        return need.state in FAILURES
    return need.state is JobState.SUCCEEDED or is_allowed(need)


def is_allowed(job: JobRecord) -> bool:
    """Return whether a job has failed and was allowed to."""
    return job.allow_failure and job.state in FAILURES


def named(spec: JobSpec, need: str) -> str:
    """Return in words what is needed."""
    return f"{_WORDS[condition(spec, need)]}{need}"
