"""A journal of any length can be told to an agent."""

from cicd.messages.base import JobId
from cicd.messages.minion import Entry, EntryState
from cicd.messages.run import Result, Status
from cicd.plugins.greeting import fit_entries


def entry(number: int, traceback: str) -> Entry:
    result = Result(status=Status.FAILED, traceback=traceback)
    return Entry(job=JobId(f"r-{number}"), attempt=1, state=EntryState.FINISHED, result=result)


def test_results_that_do_not_fit_are_left_out_and_named():
    entries = [entry(number, "x" * 300) for number in range(10)]
    fitted, left_out = fit_entries(entries, budget_bytes=1500)
    assert [one.job for one in fitted] == [one.job for one in entries]
    assert 0 < len(left_out) < 10
    assert [one.result is None for one in fitted] == [(one.job, 1) in left_out for one in fitted]
