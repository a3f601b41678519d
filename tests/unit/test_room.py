"""The reserve on the master's disk: who may begin something, who may go on, and that it comes back by itself."""

from __future__ import annotations

import pytest

from cicd.actors.store import Store, StoreClient
from cicd.storage.base import StoreFullError, Write
from cicd.storage.lmdb import LmdbStorage
from cicd.storage.room import BALLAST_FILE, Room
from small_disk import small_disk

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", 16 * MIB) as mounted:
        yield mounted


def test_nothing_new_is_begun_on_a_disk_that_is_nearly_full(disk):
    room = Room(disk.path, 2 * MIB)
    assert room.held
    room.check()
    disk.fill(leave_bytes=MIB)
    with pytest.raises(StoreFullError, match=r"the master.s disk is full: 1 MiB free in .*disk.*once 4 MiB") as caught:
        room.check()
    assert caught.value.retryable
    disk.free()
    room.check()


def test_a_commit_that_finds_no_room_is_given_the_ballast(disk):
    deaths = []
    room = Room(disk.path, 2 * MIB)
    storage = LmdbStorage(disk.path / "store")
    actor = Store.start(storage, lambda *why: deaths.append(why), room)
    store = StoreClient(actor)
    try:
        store.commit([Write(b"a", b"1")])
        disk.fill()
        store.commit([Write(b"b", b"x" * 100_000)])
        assert not room.held
        assert not (disk.path / BALLAST_FILE).exists()
        disk.fill()
        with pytest.raises(StoreFullError):
            store.commit([Write(b"c", b"x" * 100_000)])
        with pytest.raises(StoreFullError):
            room.check()
        disk.free()
        store.commit([Write(b"c", b"x" * 100_000)])
        room.check()
        assert room.held
    finally:
        actor.stop()
        storage.close()
    assert deaths == []
    assert [key for key, _ in LmdbStorageRead(disk.path)] == [b"a", b"b", b"c"]


def LmdbStorageRead(path):  # noqa: N802  reads like the store it opens
    opened = LmdbStorage(path / "store")
    try:
        return opened.range(b"a", b"d")
    finally:
        opened.close()


def test_a_start_on_a_full_disk_has_the_ballasts_room(disk):
    assert Room(disk.path, 2 * MIB).held
    disk.fill()
    again = Room(disk.path, 2 * MIB)
    assert not again.held
    assert again.free_bytes >= 2 * MIB
    with pytest.raises(StoreFullError):
        again.check()


def test_the_ballast_of_an_earlier_start_is_kept_if_it_has_the_size(disk):
    Room(disk.path, 2 * MIB)
    before = (disk.path / BALLAST_FILE).stat().st_ino
    assert Room(disk.path, 2 * MIB).held
    assert (disk.path / BALLAST_FILE).stat().st_ino == before
    assert Room(disk.path, 3 * MIB).held
    assert (disk.path / BALLAST_FILE).stat().st_size == 3 * MIB
    none = Room(disk.path, 0)
    none.check()
    assert not none.release()
    assert not (disk.path / BALLAST_FILE).exists()
