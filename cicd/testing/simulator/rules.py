"""The rules of delivery, each of which can be left out: that has to be noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from cicd.core import attempts, inventory, orders, verdict
from cicd.core.agent.agent import Agent
from cicd.core.agent.steps import Fetch
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.lifecycle import HELD
from cicd.messages.minion import Entry, RunJob
from cicd.messages.run import JobState

Patch = tuple[object, str, object]


@dataclass(frozen=True)
class Rules:
    """What holds in a history. The default: everything.

    Attributes:
        left_out: the name of the rule that does not hold.
        agent: the agent's core.
        patches: functions of the core that are replaced while the history runs: where, name, by what.
    """

    left_out: str = ""
    agent: type[Agent] = Agent
    commit_first: bool = True
    commit_again: bool = True
    watchdog: bool = True
    reaper: bool = True
    journal: bool = True
    result_ack: bool = True
    dedupe: bool = True
    beat_order: bool = True
    start_grace: bool = True
    stall_grace: bool = True
    patches: tuple[Patch, ...] = ()

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Replace what is to be replaced, for a while."""
        kept = [(where, name, getattr(where, name)) for where, name, _ in self.patches]
        for where, name, value in self.patches:
            setattr(where, name, value)
        try:
            yield
        finally:
            for where, name, value in kept:
                setattr(where, name, value)


class _LeaseFromReceipt(Agent):
    """Counts the lease from when the answer came."""

    def _grant(self, sent_boot_s: float) -> None:  # noqa: ARG002  that is the point
        super()._grant(self._now_boot_s)


class _RunsAgain(Agent):
    """Runs whatever it is told to."""

    def _run(self, message: RunJob) -> None:
        self._fetching[message.job, message.attempt] = message
        self._steps.append(Fetch(message))


def _any_attempt(job: JobEntry, _minion: object, _attempt: int) -> bool:
    return job.record.state in HELD or job.record.state is JobState.UNKNOWN


def _requeue_all(book: Book, minion: MinionEntry, listed: tuple[Entry, ...]) -> None:
    for job in [book.jobs[job_id] for job_id in minion.running]:
        if job.record.state is JobState.ASSIGNED:
            attempts.withdraw(book, job, "the minion said Hello")
        else:
            attempts.lose(book, job, "the minion said Hello", verdict.FORGOTTEN)
    for entry in listed:
        inventory.report(book, minion, entry)


_send_run: Callable[[Book, JobEntry], None] = orders.send_run


def _send_run_once(book: Book, job: JobEntry) -> None:
    if job.assigned_boot_s == book.now.boot_s:
        _send_run(book, job)


RULES: Mapping[str, tuple[str, Rules]] = {
    "R1": ("commit, then send", Rules("R1", commit_first=False)),
    "R1-again": ("a commit that failed is tried again as it was", Rules("R1-again", commit_again=False)),
    "R2": ("attempts fence", Rules("R2", patches=((inventory, "is_current", _any_attempt),))),
    "R3": ("sessions have a floor", Rules("R3", patches=((MinionEntry, "floor", property(lambda _entry: 0)),))),
    "R4": ("the lease runs from when the heartbeat was sent", Rules("R4", agent=_LeaseFromReceipt)),
    "R5": ("a minion ends its jobs when its lease is over", Rules("R5", watchdog=False)),
    "R5-reaper": ("each attempt's reaper holds the deadline too", Rules("R5-reaper", reaper=False)),
    "R6": ("the minion keeps a journal", Rules("R6", journal=False)),
    "R6-ack": ("a result is kept until it is acknowledged", Rules("R6-ack", result_ack=False)),
    "R7": ("RUN is deduplicated", Rules("R7", agent=_RunsAgain, dedupe=False)),
    "R8": ("absence proves little", Rules("R8", patches=((inventory, "from_hello", _requeue_all),))),
    "R9": ("older heartbeats are dropped", Rules("R9", beat_order=False)),
    "R10": ("a master that starts gives everybody time", Rules("R10", start_grace=False)),
    "R10-stall": ("nobody is given up for a standstill of the master", Rules("R10-stall", stall_grace=False)),
    "R11": ("commands are sent again", Rules("R11", patches=((orders, "send_run", _send_run_once),))),
}
"""By name: what the rule says, and everything without it."""


def without(name: str) -> Rules:
    """Return everything but one rule; an empty name: everything.

    Raises:
        KeyError: there is no such rule.
    """
    return RULES[name][1] if name else Rules()
