"""Why a job waits, in words for people."""

from cicd.core.book import Book, JobEntry, MinionEntry
from cicd.messages.cluster import Connection
from cicd.messages.run import JobState

_SHOWN = 3


def why(book: Book, job: JobEntry) -> str:
    """Return why a job does not run yet; empty when it runs or has ended."""
    state = job.record.state
    if state is JobState.WAITING:
        return _needs(job)
    if state is JobState.QUEUED:
        return _for_a_minion(book, job)
    if state is JobState.ASSIGNED:
        return f"sent to {job.record.minion_name}, which has not started it yet{_doubt(book, job)}"
    if state is JobState.RUNNING:
        return _doubt(book, job).removeprefix("; ")
    if state is JobState.UNKNOWN:
        return "in doubt: waits for a late result, or for a person to cancel the run"
    return ""


def _doubt(book: Book, job: JobEntry) -> str:
    minion = book.minions.get(job.record.minion) if job.record.minion is not None else None
    if minion is None or minion.connection is Connection.READY:
        return ""
    silence = book.now.boot_s - minion.seen_boot_s
    return f"; {minion.record.name} is {minion.connection}, not heard of for {silence:.0f} s"


def _needs(job: JobEntry) -> str:
    open_needs = [
        f"{need} ({job.run.by_name[need].record.state})"
        for need in dict.fromkeys(job.spec.needs)
        if job.run.by_name[need].record.state is not JobState.SUCCEEDED
    ]
    return f"needs {_short(open_needs)}"


def _for_a_minion(book: Book, job: JobEntry) -> str:
    if not book.minions:
        return "no minion has joined"
    labelled = [entry for entry in book.minions.values() if set(job.spec.labels) <= set(entry.record.labels)]
    if not labelled:
        wanted = " and ".join(job.spec.labels)
        return f"no minion with label {wanted}"
    able = [e for e in labelled if not job.run.requires or set(job.run.requires) & set(e.record.tags)]
    if not able:
        return f"no minion can run this plugin: it needs {' or '.join(job.run.requires)}"
    return _short([f"{entry.record.name}: {_state(entry)}" for entry in able])


def _state(entry: MinionEntry) -> str:
    if entry.connection is not Connection.READY:
        return str(entry.connection)
    if entry.record.suspended:
        reason = f" ({entry.record.suspended_why})" if entry.record.suspended_why else ""
        return f"suspended by {entry.record.suspended_by}{reason}"
    if len(entry.running) >= entry.record.slots:
        return f"{len(entry.running)} of {entry.record.slots} slots busy"
    return "free; earlier jobs go first"


def _short(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
