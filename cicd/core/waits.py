"""Why a job waits, in words for people."""

from cicd.core import health
from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.core.events import Now
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
        if state is JobState.WAITING:
            return _needs(job)
        if state is JobState.QUEUED:
            requirements = (job.spec.labels, job.run.requires)
            if requirements not in self._told:  # thousands of jobs may wait for the same
                self._told[requirements] = self._for_a_minion(requirements)
            return self._told[requirements]
        if state is JobState.ASSIGNED:
            return f"sent to {job.record.minion_name}, which has not started it yet{self._doubt(job)}"
        if state is JobState.RUNNING:
            return self._doubt(job).removeprefix("; ")
        if state is JobState.UNKNOWN:
            return "in doubt: waits for a late result, or for a person to cancel the run"
        return ""

    def _doubt(self, job: JobEntry) -> str:
        minion = self._book.minions.get(job.record.minion) if job.record.minion is not None else None
        if minion is None or minion.connection is Connection.READY:
            return ""
        silence = self._now.boot_s - minion.seen_boot_s
        return f"; {minion.record.name} is {minion.connection}, not heard of for {silence:.0f} s"

    def _for_a_minion(self, requirements: Requirements) -> str:
        labels, tags = requirements
        minions = self._book.minions.values()
        if not minions:
            return "no minion has joined"
        labelled = [entry for entry in minions if meets(entry.record, (labels, ()))]
        if not labelled:
            return f"no minion with label {' and '.join(labels)}"
        able = [entry for entry in labelled if meets(entry.record, requirements)]
        if not able:
            return f"no minion can run this plugin: it needs {' or '.join(tags)}"
        return _short([f"{entry.record.name}: {_state(entry)}" for entry in able])


def _needs(job: JobEntry) -> str:
    open_needs = [
        f"{need} ({job.run.by_name[need].record.state})"
        for need in dict.fromkeys(job.spec.needs)
        if job.run.by_name[need].record.state is not JobState.SUCCEEDED
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
