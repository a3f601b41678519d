"""How a log that was read to what there is of it stands: whole, or where and why something is missing."""

from __future__ import annotations

from cicd.messages.client import LogEndInfo
from cicd.messages.evidence import Cause
from cicd.messages.run import AttemptRecord, JobRecord, LogRecord, Status


def of_record(record: LogRecord, read_bytes: int) -> LogEndInfo:
    """Return how a log ended whose end has arrived.

    Args:
        record: what is known of it.
        read_bytes: how long it is on the master's disk.
    """
    gap = record.gap
    if read_bytes < record.size_bytes:
        gap = "the master's file of it is shorter than it was: its disk has lost the rest"
    return LogEndInfo(
        attempt=record.attempt,
        size_bytes=min(read_bytes, record.size_bytes),
        lines=record.lines if not gap else 0,
        sha256=record.sha256,
        complete=not gap,
        gap=gap,
        expected_bytes=record.size_bytes,
        expected_lines=record.lines,
    )


def open_end(job: JobRecord, tried: AttemptRecord, read_bytes: int, *, minion_known: bool) -> LogEndInfo | None:
    """Return why the rest of a log does not come any more; None: it may come.

    Args:
        job: whose log it is.
        tried: which attempt's.
        read_bytes: what there is of it.
        minion_known: whether the minion that has it is still one of the cluster.
    """
    result = tried.result
    if result is None:
        return None
    name = tried.minion_name
    why = ""
    if not minion_known:
        why = f"{name} has lost its data folder, and with it what it had not sent"
    elif job.attempt > tried.attempt and result.status is Status.LOST:
        why = f"attempt {job.attempt} has begun since: what {name} still has of this one is not taken any more"
    elif result.evidence.cause == Cause.SILENCE:
        why = f"{name} was lost and has not been back: it may still have the rest"
    elif not result.log_sha256:
        why = f"the attempt ended without its log's end: {result.message}"
    if not why:
        return None
    since_s = result.evidence.heard_s or tried.finished_s
    return missing(tried, read_bytes, why, since_s=since_s)


def missing(tried: AttemptRecord, read_bytes: int, why: str, *, since_s: float = 0.0) -> LogEndInfo:
    """Return that what follows of a log is not there."""
    result = tried.result
    return LogEndInfo(
        attempt=tried.attempt,
        size_bytes=read_bytes,
        gap=why,
        expected_bytes=result.log_bytes if result is not None else 0,
        expected_lines=result.log_lines if result is not None else 0,
        since_s=since_s,
    )
