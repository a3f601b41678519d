"""The tables: what they hold, and what they have no row for."""

from __future__ import annotations

from collections import Counter

import pytest

from cicd.core.lifecycle import (
    EVENT_OF_STATUS,
    HELD,
    JOB_TABLE,
    TERMINAL,
    TERMINAL_RUNS,
    JobEvent,
    next_state,
    run_outcome,
)
from cicd.errors import IllegalTransitionError
from cicd.messages.run import JobState, RunState, Status


def test_every_row_leads_where_it_says_and_every_other_pair_raises() -> None:
    for state in JobState:
        for event in JobEvent:
            if (state, event) in JOB_TABLE:
                assert next_state("job x", state, event) is JOB_TABLE[state, event]
            else:
                with pytest.raises(IllegalTransitionError) as caught:
                    next_state("job x", state, event, ("needs_met", "assign"))
                assert caught.value.message == (
                    f"job x: no transition for {event} in state {state} after needs_met > assign"
                )
                assert (caught.value.machine, caught.value.state, caught.value.event) == ("job x", state, event)


def test_terminal_states_have_no_way_out_and_all_others_lead_to_one() -> None:
    assert not any(state in TERMINAL for state, _ in JOB_TABLE)
    reach = set(TERMINAL)
    while grown := {state for (state, _), new in JOB_TABLE.items() if new in reach} - reach:
        reach |= grown
    assert reach == set(JobState)


def test_every_event_is_used_and_every_state_can_be_reached() -> None:
    assert {event for _, event in JOB_TABLE} == set(JobEvent)
    assert {*JOB_TABLE.values(), JobState.WAITING} == set(JobState)


def test_an_attempt_can_end_in_any_way_while_it_is_held_and_by_a_result_or_a_person_when_in_doubt() -> None:
    assert set(EVENT_OF_STATUS) == set(Status)
    for event in EVENT_OF_STATUS.values():
        assert all((state, event) in JOB_TABLE for state in HELD)
    out_of_doubt = {event for state, event in JOB_TABLE if state is JobState.UNKNOWN}
    assert out_of_doubt == set(EVENT_OF_STATUS.values()) - {JobEvent.LOSE} | {JobEvent.REQUEUE}


@pytest.mark.parametrize(
    ("states", "cancelled", "outcome"),
    [
        ([JobState.SUCCEEDED], False, RunState.SUCCEEDED),
        ([JobState.SUCCEEDED, JobState.FAILED, JobState.SKIPPED], False, RunState.FAILED),
        ([JobState.POISONED], False, RunState.FAILED),
        ([JobState.CANCELLED, JobState.SUCCEEDED], True, RunState.CANCELLED),
        ([JobState.CANCELLED, JobState.FAILED], True, RunState.CANCELLED),
        ([JobState.SUCCEEDED], True, RunState.SUCCEEDED),
        ([JobState.FAILED], True, RunState.FAILED),
        ([JobState.CANCELLED], False, RunState.CANCELLED),
        ([JobState.CANCELLED, JobState.FAILED], False, RunState.FAILED),
        ([JobState.SUCCEEDED, JobState.SKIPPED], False, RunState.SUCCEEDED),
    ],
)
def test_a_run_ends_as_its_jobs_did(states: list[JobState], cancelled: bool, outcome: RunState) -> None:  # noqa: FBT001  a table's column
    tally = Counter(states)
    tally[JobState.TIMED_OUT] = 0
    assert run_outcome(tally, cancelled=cancelled) is outcome
    assert outcome in TERMINAL_RUNS
