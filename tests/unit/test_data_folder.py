"""A minion's folder: what an earlier jobhost left is put away, whatever else is there."""

from __future__ import annotations

import os

import pytest

from cicd.messages.base import JobId
from cicd.messages.jobhost import Finished
from cicd.messages.run import Status
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.ledger import Ledger


@pytest.fixture
def folder(tmp_path):
    folder = DataFolder(tmp_path / "minion", {})
    yield folder
    folder.close()


def test_what_was_not_removed_to_its_end_is_in_nobodys_way(folder):
    """In a container each jobhost has the same pid; a removal that was killed leaves its folder behind."""
    left = folder.path / f"work.old-{os.getpid()}"
    (left / "large").mkdir(parents=True)
    for _ in range(2):
        (folder.work / "job" / "1").mkdir(parents=True)
        process = folder.clear_work()
        assert process is not None
        assert process.wait(20) == 0
    assert not folder.work.exists()
    assert [path.name for path in folder.path.iterdir()] == ["lock"]
    assert folder.clear_work() is None


def test_an_attempt_that_was_refused_for_a_full_disk_is_never_begun(folder, monkeypatch):
    """Not even noted, but told: the job may be elsewhere by now."""
    ledger = Ledger(folder)
    key = (JobId("r-0"), 1)

    def full(_fd, _data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("cicd.plugins.journal.os.write", full)
        (told,) = ledger.no_room(key, "m1")
    assert isinstance(told, Finished)
    assert told.result.status is Status.FAILED
    assert ledger.knows(key)
    assert ledger.story(key) == [told]
    ledger.acknowledge(key)
    assert (ledger.knows(key), ledger.was_acknowledged(key)) == (False, True)
    ledger.close()
