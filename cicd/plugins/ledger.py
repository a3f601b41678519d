"""What a jobhost knows of attempts whether they run or not: journal, logs, and what was acknowledged.

Whatever is in here is told to each agent until it has been acknowledged: a result by ResultAcked, a log by LogStored.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict

import structlog

from cicd.messages.base import Wire
from cicd.messages.evidence import Blame, Cause, Evidence
from cicd.messages.jobhost import Finished, LogClosed, LogState
from cicd.messages.minion import Entry, EntryState
from cicd.messages.run import FailureKind, Result, Status
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.greeting import fit_entries
from cicd.plugins.journal import Journal, Key
from cicd.plugins.spool import Spool, SpoolFile

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

_ACKNOWLEDGED_LIMIT = 10_000


class Ledger:
    """The attempts of one data folder.

    Args:
        folder: where journal and spool are.

    Raises:
        OSError: they cannot be used.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._journal = Journal(folder.journal)
        self._spool = Spool(folder.spool)
        self._closed: dict[Key, LogState] = {}
        self._open: dict[Key, SpoolFile] = {}
        self._refused: dict[Key, Finished] = {}
        self._acknowledged: OrderedDict[Key, None] = OrderedDict()
        if self._journal.torn_bytes:
            log.warning("journal.torn", bytes=self._journal.torn_bytes)

    def recover(self, wall_s: float) -> None:
        """Take over from an earlier jobhost, of which no process is left: close its logs, bury its attempts.

        Args:
            wall_s: the time now.
        """
        self._closed = {(state.job, state.attempt): state for state in self._spool.recover()}
        for entry in self._journal.entries():
            if entry.state is EntryState.RUNNING:
                key = (entry.job, entry.attempt)
                state = self._closed.get(key)
                result = Result(
                    status=Status.LOST,
                    message="the minion's jobhost ended under it",
                    failure_kind=FailureKind.INFRASTRUCTURE,
                    log_bytes=state.size_bytes if state else 0,
                    log_lines=state.lines if state else 0,
                    log_sha256=state.sha256 if state else "",
                    finished_s=wall_s,
                    evidence=Evidence(blame=Blame.MACHINE, cause=Cause.JOBHOST_ENDED),
                )
                self._journal.bury(key, result)
                log.warning("attempt.buried", job=entry.job, attempt=entry.attempt)

    def knows(self, key: Key) -> bool:
        """Whether the attempt is in the journal, or was refused."""
        return self._journal.get(key) is not None or key in self._refused

    def was_acknowledged(self, key: Key) -> bool:
        """Whether the attempt's result was acknowledged lately: there is nothing more to do or to say."""
        return key in self._acknowledged

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be told of any attempt: no journal entry, running ones among them."""
        return not self._journal.entries()

    @property
    def is_empty(self) -> bool:
        """Whether the master has everything: results and logs."""
        return self.idle and not self._open and not self._closed

    def entries(self) -> tuple[tuple[Entry, ...], list[Key]]:
        """Return the journal's entries, and the attempts whose results did not fit: their `story` has to be told."""
        return fit_entries(self._journal.entries())

    def logs(self) -> tuple[LogState, ...]:
        """Return all logs, open ones first: of those there are few."""
        return (*(file.state() for file in self._open.values()), *self._closed.values())

    def log_of(self, key: Key) -> SpoolFile | None:
        """Return the log of an attempt that runs."""
        return self._open.get(key)

    def story(self, key: Key) -> list[Wire]:
        """Return how an attempt ended, as messages to the agent; empty: it has not."""
        told: list[Wire] = []
        entry = self._journal.get(key)
        if entry is not None and entry.result is not None:
            told.append(Finished(job=key[0], attempt=key[1], result=entry.result))
        elif key in self._refused:
            told.append(self._refused[key])
        if state := self._closed.get(key):
            told.append(
                LogClosed(
                    job=key[0],
                    attempt=key[1],
                    path=state.path,
                    size_bytes=state.size_bytes,
                    lines=state.lines,
                    sha256=state.sha256,
                )
            )
        return told

    def begin(self, key: Key, session: int) -> SpoolFile:
        """Note that an attempt is about to run; return its log.

        Raises:
            OSError: it could not be noted: the attempt must not run.
        """
        file = self._spool.create(*key)
        try:
            self._journal.start(key, session)
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            self._spool.remove(*key)
            raise
        self._open[key] = file
        return file

    def end(self, key: Key, result: Result, state: LogState) -> None:
        """Note how an attempt ended and what its log is.

        Raises:
            OSError: it could not be noted: the result must not be told.
        """
        self._journal.finish(key, result)
        self._open.pop(key, None)
        self._closed[key] = state

    def no_room(self, key: Key, minion: str) -> list[Wire]:
        """Fail an attempt that a full disk keeps from beginning, without a log; return what the agent is told.

        Asked for again and again it would never end.
        """
        result = Result(
            status=Status.FAILED,
            failure_kind=FailureKind.INFRASTRUCTURE,
            message=f"disk full on {minion}: the job was not started",
            evidence=Evidence(blame=Blame.MACHINE, cause=Cause.DISK),
        )
        try:
            self._journal.finish(key, result)
        except OSError:
            # Not durable, but remembered: once this is told the job may be given to another, so it is never begun here.
            # Forgotten by a kill it cannot be begun either: a Start of an older session is refused.
            self._refused[key] = Finished(job=key[0], attempt=key[1], result=result)
        return self.story(key)

    def end_unstarted(self, key: Key, status: Status, message: str) -> None:
        """Note that an attempt ended before it began: a later start of it runs nothing.

        Raises:
            OSError: it could not be noted.
        """
        try:
            state = self._spool.create(*key).close()
        except OSError:
            self._journal.finish(key, Result(status=status, message=message))
        else:
            self.end(key, Result(status=status, message=message, log_sha256=state.sha256), state)

    def acknowledge(self, key: Key) -> None:
        """Forget an attempt whose result the master has."""
        if key in self._open:
            return
        self._refused.pop(key, None)
        self._journal.forget(key)
        self._acknowledged[key] = None
        if len(self._acknowledged) > _ACKNOWLEDGED_LIMIT:
            self._acknowledged.popitem(last=False)

    def drop_log(self, key: Key) -> None:
        """Remove a log that the master has."""
        if key not in self._open:
            self._closed.pop(key, None)
            self._spool.remove(*key)

    def close(self) -> None:
        """Close the files."""
        self._journal.close()
