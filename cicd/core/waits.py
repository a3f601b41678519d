"""Why a job waits, in words for people."""

from cicd.core import admission, groups, health, needs, retries
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.events import Now
from cicd.core.lifecycle import HELD
from cicd.core.ready import Requirements, meets
from cicd.messages.cluster import Connection
from cicd.messages.run import JobState

_SHOWN = 3


class Teller:
    """Tells why jobs wait, at one moment. Keep none: what it found out about minions is remembered.

    Args:
        book: the state.
        now: the time.
    """

    def __init__(self, book: Book, now: Now) -> None:
        self._book = book
        self._now = now
        self._told: dict[Requirements, str] = {}

    def why(self, job: JobEntry) -> str:
        """Return why a job does not run yet; empty when it runs or has ended."""
        state = job.record.state
        if state in HELD:
            return self._held(job)
        if state is JobState.WAITING:
            return _needs(job) if job.missing else admission.why(self._book, job.run)
        if state is JobState.QUEUED:
            return groups.why(self._book, job) or self._for_a_minion(job.requirements)
        if state is JobState.BACKOFF:
            left_s = self._book.timers.left_s(job.record.id, self._now.boot_s)
            return f"waits {left_s:.0f} s for {retries.told(job, job.record.attempt + 1)}"
        if state is JobState.UNKNOWN:
            return "in doubt: waits for a late result, or for a person to resolve it (cicd runs resolve)"
        return ""

    def _held(self, job: JobEntry) -> str:
        if job.record.state is JobState.ASSIGNED:
            return f"sent to {job.record.minion_name}, which has not started it yet{self._doubt(job)}"
        return self._doubt(job).removeprefix("; ")

    def _doubt(self, job: JobEntry) -> str:
        minion = self._book.minions.get(job.record.minion) if job.record.minion is not None else None
        if minion is None or minion.connection is Connection.READY:
            return ""
        silence = self._now.boot_s - minion.seen_boot_s
        return f"; {minion.record.name} is {minion.connection}, not heard of for {silence:.0f} s"

    def _for_a_minion(self, requirements: Requirements) -> str:
        if requirements not in self._told:  # thousands of jobs may wait for the same
            self._told[requirements] = self._of_minions(requirements)
        return self._told[requirements]

    def _of_minions(self, requirements: Requirements) -> str:
        labels, tags, avoid = requirements
        minions = self._book.minions.values()
        if not minions:
            return "no minion has joined"
        labelled = [entry for entry in minions if meets(entry.record, Requirements(labels))]
        if not labelled:
            return f"no minion with label {' and '.join(labels)}"
        able = [entry for entry in labelled if meets(entry.record, Requirements(labels, tags))]
        if not able:
            return f"no minion can run this plugin: it needs {' or '.join(tags)}"
        return _short(
            [
                f"{entry.record.name}: {'failed the last attempt' if entry.record.id == avoid else _state(entry)}"
                for entry in able
            ]
        )


def _needs(job: JobEntry) -> str:
    open_needs = [
        f"{needs.named(job.spec, need)} ({job.run.by_name[need].record.state})"
        for need in dict.fromkeys(job.spec.needs)
        if not needs.is_met(job.spec, job.run.by_name[need].record)
    ]
    return f"needs {_short(open_needs)}"


def _state(entry: MinionEntry) -> str:
    if entry.connection is not Connection.READY:
        return "has left" if entry.record.left else str(entry.connection)
    if entry.record.suspended:
        reason = f" ({entry.record.suspended_why})" if entry.record.suspended_why else ""
        return f"{entry.record.availability} by {entry.record.suspended_by}{reason}"
    if entry.health:
        return f"unhealthy ({health.in_words(entry.health)})"
    if len(entry.running) >= entry.record.slots:
        return f"{len(entry.running)} of {entry.record.slots} slots busy"
    return "free; earlier jobs go first"


def _short(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def of_minion(entry: MinionEntry) -> str:
    """Return how a minion stands towards new jobs, in words."""
    return _state(entry)
