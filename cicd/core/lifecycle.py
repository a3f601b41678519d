"""The life of a job and of a run, as tables.

A job's state changes by `(state, event) -> state` and in no other way; what is not in the table raises. Terminal states
have no rows: they never change. LOST is passed through within one step: a lost attempt is either queued again (the job
is idempotent), in doubt (it is not), given up (lost too often) or over (its run was cancelled).
"""

from collections.abc import Mapping
from enum import StrEnum

from cicd.errors import IllegalTransitionError
from cicd.messages.run import JobState, RunState, Status

MAX_LOST_ATTEMPTS = 3
"""An attempt that takes its minion down again and again is not tried for ever."""


class JobEvent(StrEnum):
    """What can happen to a job."""

    NEEDS_MET = "needs_met"
    NEEDS_FAILED = "needs_failed"
    CARRY = "carry"
    """It succeeded in the run that this one repeats."""
    ASSIGN = "assign"
    START = "start"
    WITHDRAW = "withdraw"
    """The assignment is proven to have started nothing."""
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    CANCEL = "cancel"
    RETRY = "retry"
    """The attempt failed, and another follows."""
    DUE = "due"
    """The time of the next attempt has come."""
    LOSE = "lose"
    REQUEUE = "requeue"
    DOUBT = "doubt"
    POISON = "poison"


_S = JobState
_E = JobEvent

JOB_TABLE: Mapping[tuple[JobState, JobEvent], JobState] = {
    (_S.WAITING, _E.NEEDS_MET): _S.QUEUED,
    (_S.WAITING, _E.NEEDS_FAILED): _S.SKIPPED,
    (_S.WAITING, _E.CARRY): _S.SUCCEEDED,
    (_S.WAITING, _E.CANCEL): _S.CANCELLED,
    (_S.QUEUED, _E.ASSIGN): _S.ASSIGNED,
    (_S.QUEUED, _E.FAIL): _S.FAILED,
    (_S.QUEUED, _E.CANCEL): _S.CANCELLED,
    (_S.ASSIGNED, _E.START): _S.RUNNING,
    (_S.ASSIGNED, _E.WITHDRAW): _S.QUEUED,
    (_S.ASSIGNED, _E.SUCCEED): _S.SUCCEEDED,
    (_S.ASSIGNED, _E.FAIL): _S.FAILED,
    (_S.ASSIGNED, _E.TIME_OUT): _S.TIMED_OUT,
    (_S.ASSIGNED, _E.CANCEL): _S.CANCELLED,
    (_S.ASSIGNED, _E.RETRY): _S.BACKOFF,
    (_S.ASSIGNED, _E.LOSE): _S.LOST,
    (_S.RUNNING, _E.SUCCEED): _S.SUCCEEDED,
    (_S.RUNNING, _E.FAIL): _S.FAILED,
    (_S.RUNNING, _E.TIME_OUT): _S.TIMED_OUT,
    (_S.RUNNING, _E.CANCEL): _S.CANCELLED,
    (_S.RUNNING, _E.RETRY): _S.BACKOFF,
    (_S.RUNNING, _E.LOSE): _S.LOST,
    (_S.BACKOFF, _E.DUE): _S.QUEUED,
    (_S.BACKOFF, _E.CANCEL): _S.CANCELLED,
    (_S.LOST, _E.REQUEUE): _S.QUEUED,
    (_S.LOST, _E.DOUBT): _S.UNKNOWN,
    (_S.LOST, _E.POISON): _S.POISONED,
    (_S.LOST, _E.CANCEL): _S.CANCELLED,
    (_S.UNKNOWN, _E.SUCCEED): _S.SUCCEEDED,
    (_S.UNKNOWN, _E.FAIL): _S.FAILED,
    (_S.UNKNOWN, _E.TIME_OUT): _S.TIMED_OUT,
    (_S.UNKNOWN, _E.CANCEL): _S.CANCELLED,
    (_S.UNKNOWN, _E.REQUEUE): _S.QUEUED,
}

TERMINAL: frozenset[JobState] = frozenset(
    {_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.TIMED_OUT, _S.POISONED, _S.SKIPPED}
)
FAILURES: frozenset[JobState] = frozenset({_S.FAILED, _S.TIMED_OUT, _S.POISONED})
"""Terminal states that are a failure: of the job's own, not because of others."""
HELD: frozenset[JobState] = frozenset({_S.ASSIGNED, _S.RUNNING})
"""States in which a job holds a slot of a minion."""

TERMINAL_RUNS: frozenset[RunState] = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})

EVENT_OF_STATUS: Mapping[Status, JobEvent] = {
    Status.SUCCEEDED: _E.SUCCEED,
    Status.FAILED: _E.FAIL,
    Status.CANCELLED: _E.CANCEL,
    Status.TIMED_OUT: _E.TIME_OUT,
    Status.LOST: _E.LOSE,
}


def next_state(machine: str, state: JobState, event: JobEvent, history: tuple[str, ...] = ()) -> JobState:
    """Return where `event` leads from `state`.

    Args:
        machine: whose state it is, for the error.
        state: where it stands.
        event: what has happened.
        history: the last events before, for the error.

    Raises:
        IllegalTransitionError: the table has no such row.
    """
    try:
        return JOB_TABLE[state, event]
    except KeyError:
        raise IllegalTransitionError(machine, state, event, history) from None


def run_outcome(tally: Mapping[JobState, int], *, cancelled: bool) -> RunState:
    """Return how a run ended whose jobs have all ended.

    What was skipped says nothing: what it was skipped for does.

    Args:
        tally: number of jobs by state; terminal states only, failures that are allowed left out.
        cancelled: whether somebody asked to cancel the run.
    """
    if cancelled and tally.get(JobState.CANCELLED, 0):
        return RunState.CANCELLED
    if any(tally.get(state, 0) for state in FAILURES):
        return RunState.FAILED
    return RunState.CANCELLED if tally.get(JobState.CANCELLED, 0) else RunState.SUCCEEDED
