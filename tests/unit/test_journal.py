"""The minion's journal: durable, forgiving at its tail, and no longer than what counts."""

import pytest

from cicd.messages.base import JobId
from cicd.messages.minion import EntryState
from cicd.messages.run import Result, Status
from cicd.plugins import journal as journal_module
from cicd.plugins.journal import Journal

A = (JobId("r-0"), 1)
B = (JobId("r-1"), 2)
DONE = Result(status=Status.SUCCEEDED, outputs={"a": "1"})
GONE = Result(status=Status.LOST)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def open_journal(path):
    opened = []

    def reopen() -> Journal:
        opened.append(Journal(path))
        return opened[-1]

    yield reopen
    for journal in opened:
        journal.close()


def states(journal):
    return {(entry.job, entry.attempt): entry.state for entry in journal.entries()}


def test_everything_is_there_after_reopening(open_journal):
    journal = open_journal()
    journal.start(A, session=3)
    journal.start(B, session=3)
    journal.finish(A, DONE)
    again = open_journal()
    assert states(again) == {A: EntryState.FINISHED, B: EntryState.RUNNING}
    assert again.get(A).result == DONE
    again.bury(B, GONE)
    assert states(open_journal()) == {A: EntryState.FINISHED, B: EntryState.DEAD}


def test_forgotten_is_forgotten(open_journal):
    journal = open_journal()
    journal.start(A, session=1)
    journal.finish(A, DONE)
    journal.forget(A)
    journal.forget(B)
    assert journal.entries() == ()
    assert open_journal().entries() == ()


def test_every_torn_tail_is_cut_off(open_journal, path):
    journal = open_journal()
    journal.start(A, session=1)
    whole = path.read_bytes()
    journal.finish(A, DONE)
    full = path.read_bytes()
    for length in range(len(whole), len(full)):
        path.write_bytes(full[:length])
        torn = open_journal()
        assert states(torn) == {A: EntryState.RUNNING}
        assert torn.torn_bytes == length - len(whole)
        torn.start(B, session=1)
        assert states(open_journal()) == {A: EntryState.RUNNING, B: EntryState.RUNNING}


def test_a_damaged_record_ends_what_is_read(open_journal, path):
    journal = open_journal()
    journal.start(A, session=1)
    place = path.stat().st_size
    journal.start(B, session=1)
    data = bytearray(path.read_bytes())
    data[place + 12] ^= 1
    path.write_bytes(data)
    assert states(open_journal()) == {A: EntryState.RUNNING}


def test_it_does_not_grow_with_what_is_forgotten(open_journal, path, monkeypatch):
    monkeypatch.setattr(journal_module, "_COMPACT_BYTES", 2000)
    journal = open_journal()
    journal.start(B, session=1)
    for number in range(500):
        key = (JobId(f"x-{number}"), 1)
        journal.start(key, session=1)
        journal.finish(key, DONE)
        journal.forget(key)
    assert path.stat().st_size < 4000
    assert states(open_journal()) == {B: EntryState.RUNNING}


def test_a_record_that_does_not_fit_leaves_no_half(open_journal, path, monkeypatch):
    journal = open_journal()
    journal.start(A, session=1)
    real_write = journal_module.os.write
    monkeypatch.setattr(journal_module.os, "write", lambda fd, data: real_write(fd, data[:5]))
    with pytest.raises(OSError, match="only 5"):
        journal.finish(A, DONE)
    monkeypatch.undo()
    assert journal.get(A).state is EntryState.RUNNING
    journal.start(B, session=1)
    assert states(open_journal()) == {A: EntryState.RUNNING, B: EntryState.RUNNING}


def test_what_runs_keeps_its_room_when_the_file_is_written_anew(tmp_path):
    """The blocks for its end are the old file's: the new one has its own."""
    journal = Journal(tmp_path / "journal")
    journal.start((JobId("r-0"), 1), session=1)
    for number in range(1, 80):
        key = (JobId(f"r-{number}"), 1)
        journal.finish(key, Result(status=Status.FAILED, traceback="x" * 16_000))
        journal.forget(key)
    size = (tmp_path / "journal").stat()
    assert size.st_size < 512 * 1024, "it was never written anew"
    assert size.st_blocks * 512 >= size.st_size + 60 * 1024
    journal.close()
