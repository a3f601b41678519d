"""The journal on a full disk: what runs can end, nothing new starts, and it opens again."""

from __future__ import annotations

import errno

import pytest

from cicd.messages.base import JobId
from cicd.messages.minion import EntryState
from cicd.messages.run import Result, Status
from cicd.plugins.journal import Journal
from small_disk import small_disk

MIB = 1024 * 1024
LARGE = Result(status=Status.FAILED, outputs={"a": "x" * 16_000}, traceback="y" * 30_000)


def key(number: int):
    return JobId(f"r-{number}"), 1


def start_many(journal):
    for number in range(8, 20):
        journal.start(key(number), session=1)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 4 * MIB) as mounted:
        yield mounted


def test_what_runs_can_end_on_a_full_disk_and_nothing_new_starts(disk):
    journal = Journal(disk.path / "journal")
    for number in range(8):
        journal.start(key(number), session=1)
    disk.fill()
    assert disk.free_bytes == 0
    for number in range(8):
        journal.finish(key(number), LARGE)
    with pytest.raises(OSError, match="No space left") as caught:
        start_many(journal)
    assert caught.value.errno == errno.ENOSPC
    journal.close()

    again = Journal(disk.path / "journal")
    finished = [entry for entry in again.entries() if entry.state is EntryState.FINISHED]
    assert [entry.result for entry in finished] == [LARGE] * 8
    for entry in again.entries():
        again.forget((entry.job, entry.attempt))
    disk.free()
    again.start(key(50), session=2)
    again.close()
    last = Journal(disk.path / "journal")
    assert [entry.job for entry in last.entries()] == [key(50)[0]]
    last.close()


def test_a_torn_tail_is_cut_off_on_a_full_disk_too(disk):
    journal = Journal(disk.path / "journal")
    journal.start(key(1), session=1)
    journal.finish(key(1), LARGE)
    journal.close()
    with (disk.path / "journal").open("ab") as file:
        file.write(b"\0\0\0\7torn")
    disk.fill()
    again = Journal(disk.path / "journal")
    assert again.torn_bytes == 8
    again.forget(key(1))
    again.close()
    last = Journal(disk.path / "journal")
    assert last.entries() == ()
    last.close()
