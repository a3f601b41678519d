"""LMDB's room: its map grows, disks are full and broken, readers and the writer get in each other's way."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from cicd.errors import UnavailableError
from cicd.messages.base import MinionId, RunId, job_id
from cicd.messages.run import AttemptRecord, JobRecord, JobState
from cicd.storage import lmdb as module
from cicd.storage import records
from cicd.storage.base import StoreBrokenError, StoreFullError, Write
from cicd.storage.lmdb import LmdbStorage

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStorage]:
    opened = LmdbStorage(tmp_path / "store", map_size_bytes=MIB)
    yield opened
    opened.close()


def put(store: LmdbStorage, key: bytes, size: int = 1) -> None:
    store.commit([], [Write(key, b"v" * size)])


def test_the_map_grows_before_it_is_full(store: LmdbStorage) -> None:
    put(store, b"a", 900_000)
    assert store.map_size_bytes == MIB
    put(store, b"b")
    assert store.map_size_bytes == 2 * MIB


def test_the_map_grows_as_often_as_it_must(store: LmdbStorage) -> None:
    for n in range(100):
        put(store, b"%03d" % n, 50_000)
    assert store.map_size_bytes == 8 * MIB
    assert len(store.range(b"0", b"9")) == 100


def test_growing_in_good_time_waits_for_nobody(store: LmdbStorage) -> None:
    with ThreadPoolExecutor(1) as writer:
        writer.submit(put, store, b"a", 900_000).result(10)
        with store.snapshot():
            writer.submit(put, store, b"b").result(10)
        assert store.map_size_bytes == MIB
        writer.submit(put, store, b"c").result(10)
    assert store.map_size_bytes == 2 * MIB


def test_a_commit_larger_than_the_map_is_done_after_growing(store: LmdbStorage) -> None:
    put(store, b"a", 9 * MIB)
    assert store.get(b"a") == b"v" * 9 * MIB
    assert store.map_size_bytes == 16 * MIB


def test_growing_waits_for_views_and_keeps_new_ones_out(store: LmdbStorage) -> None:
    with ThreadPoolExecutor(2) as pool:
        with store.snapshot() as view:
            writer = pool.submit(put, store, b"a", 3 * MIB)
            while not store._gate._alone:  # it has found the map full
                assert not writer.done()
            late = pool.submit(store.get, b"a")
            assert view.get(b"a") is None
            assert store.get(b"a") is None  # a thread that has a view would wait for itself
            assert not writer.done()
            assert not late.done()
        writer.result(10)
        assert late.result(10) in {None, b"v" * 3 * MIB}
    assert store.get(b"a") == b"v" * 3 * MIB


def test_growing_gives_up_on_a_view_that_never_ends(store: LmdbStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT_FOR_VIEWS_S", 0.05)
    with ThreadPoolExecutor(1) as pool:
        with store.snapshot():
            writer = pool.submit(put, store, b"a", 3 * MIB)
            with pytest.raises(StoreFullError, match="a view has been open"):
                writer.result(10)
            with pytest.raises(RuntimeError, match="inside a view"):
                store.close()
            with pytest.raises(RuntimeError, match="a view is open"):
                pool.submit(store.close).result(10)
        pool.submit(put, store, b"a", 3 * MIB).result(10)
    assert store.get(b"a") == b"v" * 3 * MIB


def test_busy_readers_do_not_starve_the_writer_even_while_it_grows(store: LmdbStorage) -> None:
    done = threading.Event()

    def read() -> int:
        newest = 0
        while not done.is_set():
            with store.snapshot() as view:
                found = view.range(b"k", b"l")
            assert [value[:8] for _, value in found] == [b"%08d" % n for n in range(len(found))]
            assert len(found) >= newest
            newest = len(found)
        return newest

    def write() -> None:
        for n in range(60):
            store.commit([], [Write(b"k%08d" % n, b"%08d" % n + b"x" * 100_000)])

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            pool.submit(write).result(20)
        finally:
            done.set()
        assert all(reader.result(10) for reader in readers)
    assert store.map_size_bytes >= 8 * MIB


def test_at_its_limit_it_is_full_but_whole(tmp_path: Path) -> None:
    store = LmdbStorage(tmp_path / "store", map_size_bytes=MIB, max_size_bytes=2 * MIB)
    put(store, b"a", MIB)
    with pytest.raises(StoreFullError, match="limit") as caught:
        store.commit([], [Write(b"b", b"small"), Write(b"c", b"v" * 2 * MIB)])
    assert caught.value.retryable
    assert (len(store.get(b"a") or b""), store.get(b"b")) == (MIB, None)
    put(store, b"b")
    assert store.get(b"b") == b"v"
    store.close()


@contextmanager
def redirected(store: LmdbStorage, target: str, flags: int, *, meta: bool) -> Iterator[None]:
    """Put another file behind LMDB's own descriptors of its data pages, or of its meta pages (that has O_DSYNC)."""
    data = store._folder.path / "data.mdb"
    mine = [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.readlink() == data]
    ours = [fd for fd in mine if bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DSYNC) is meta]
    saved = [os.dup(fd) for fd in ours]
    other = os.open(target, flags)
    try:
        for fd in ours:
            os.dup2(other, fd)
        yield
    finally:
        for fd, old in zip(ours, saved, strict=True):
            os.dup2(old, fd)
            os.close(old)
        os.close(other)


def test_a_full_disk_is_not_the_end(store: LmdbStorage) -> None:
    put(store, b"a")
    with redirected(store, "/dev/full", os.O_RDWR, meta=False), pytest.raises(StoreFullError):
        store.commit([], [Write(b"a", b"2"), Write(b"b", b"2")])
    assert (store.get(b"a"), store.get(b"b")) == (b"v", None)
    store.commit([], [Write(b"a", b"2"), Write(b"b", b"2")])
    assert (store.get(b"a"), store.get(b"b")) == (b"2", b"2")


def test_a_failed_data_page_breaks_the_store_where_the_disk_is_not_full(store: LmdbStorage) -> None:
    with redirected(store, "/dev/null", os.O_RDONLY, meta=False), pytest.raises(StoreBrokenError):
        put(store, b"a")
    with pytest.raises(StoreBrokenError):
        put(store, b"a")
    with pytest.raises(StoreBrokenError):
        store.get(b"a")


def test_a_failed_meta_page_breaks_the_store_until_it_is_opened_again(store: LmdbStorage, tmp_path: Path) -> None:
    put(store, b"a")
    with redirected(store, "/dev/null", os.O_RDONLY, meta=True), pytest.raises(StoreBrokenError):
        put(store, b"b")
    with pytest.raises(StoreBrokenError):
        put(store, b"b")
    store.close()
    reopened = LmdbStorage(tmp_path / "store")
    assert reopened.get(b"a") == b"v"
    put(reopened, b"b")
    reopened.close()


CUT_SHORT = """
import resource, sys
from pathlib import Path
from cicd.storage.base import StoreFullError, Write
from cicd.storage.lmdb import LmdbStorage

folder = Path(sys.argv[1])
store = LmdbStorage(folder)
store.commit([], [Write(b"a", b"1")])
unlimited = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "data.mdb").stat().st_size + 20_000, unlimited))
big = [Write(b"a", b"2"), Write(b"b", b"x" * 300_000)]
try:
    store.commit([], big)
except StoreFullError:
    print("full", store.get(b"a"), store.get(b"b"))
resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
store.commit([], big)
print(store.get(b"a"), len(store.get(b"b")))
"""


def test_a_write_cut_short_by_a_full_disk_is_told_from_a_broken_disk(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CUT_SHORT, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.splitlines() == ["full b'1' None", "b'2' 300000"]
    assert not (tmp_path / "store" / "probe.tmp").exists()


def test_too_many_views_at_once_is_a_reason_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_READERS", 2)
    store = LmdbStorage(tmp_path)
    with store.snapshot(), store.snapshot(), pytest.raises(UnavailableError, match="more than 2 views"):
        store.get(b"a")
    assert store.get(b"a") is None
    store.close()


# ---- bytes ---------------------------------------------------------------------------------------------


def file_bytes_per_transition(store: LmdbStorage, run: RunId, count: int) -> float:
    """Queue the jobs of a run, start a hundred of them in commits of their own; return what one wrote to the files."""

    def written() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))

    jobs = [
        JobRecord(id=job_id(run, n), run=run, index=n, name=f"job{n:06d}", state=JobState.QUEUED) for n in range(count)
    ]
    store.commit([], [write for job in jobs for write in records.save_job(job)])
    before = written()
    for job in jobs[:: count // 100]:
        started = msgspec.structs.replace(job, state=JobState.RUNNING, attempt=1, minion=MinionId("m1"))
        tried = AttemptRecord(job=job.id, attempt=1, minion=MinionId("m1"), minion_name="one", session=1)
        store.commit([], [*records.save_job(started), *records.save_attempt(tried)])
    return (written() - before) / 100


def test_a_transition_writes_as_many_pages_in_a_small_run_as_in_a_large_one(store: LmdbStorage) -> None:
    """In a store with a history: the depth of its tree is that of all it holds, whatever the run's size is."""
    file_bytes_per_transition(store, RunId("history"), 10_000)
    large = file_bytes_per_transition(store, RunId("large"), 10_000)
    small = file_bytes_per_transition(store, RunId("small"), 100)
    assert large == pytest.approx(small, rel=0.2)
