"""What LMDB has to keep beyond the contract: kills, full disks, its folder, its limits."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from cicd.errors import UnavailableError
from cicd.storage import keys
from cicd.storage import lmdb as module
from cicd.storage.base import SchemaError, StoreBrokenError, StoreFullError, Write
from cicd.storage.folder import StoreFolderError
from cicd.storage.lmdb import LmdbStorage

MIB = 1024 * 1024

COMMITTER = """
import os, sys
from pathlib import Path
from cicd.storage.base import Write
from cicd.storage.lmdb import LmdbStorage

store = LmdbStorage(Path(sys.argv[1]))
n = int(store.get(b"newest") or -1)
while True:
    n += 1
    store.commit([], [Write(b"n/%08d" % n, b"x" * (n * 37 % 3000)), Write(b"newest", b"%d" % n)])
    os.write(1, b"%d\\n" % n)
"""


def child(script: str, *args: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def result(script: str, *args: object) -> str:
    with child(script, *args) as process:
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStorage]:
    opened = LmdbStorage(tmp_path / "store", map_size_bytes=MIB)
    yield opened
    opened.close()


def put(store: LmdbStorage, key: bytes, size: int = 1) -> None:
    store.commit([], [Write(key, b"v" * size)])


# ---- kills ---------------------------------------------------------------------------------------------


def test_every_acknowledged_commit_outlives_a_kill(tmp_path: Path) -> None:
    """Twenty kills of one store; each commit is there whole or not at all, and all that were acknowledged are."""
    folder = tmp_path / "store"
    acknowledged = -1
    for kill in range(20):
        with child(COMMITTER, folder) as process:
            assert process.stdout is not None
            for _ in range(1 + kill * 7):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            tail = process.stdout.read().split(b"\n")[:-1]
        acknowledged += 1 + kill * 7 + len(tail)
        reopened = LmdbStorage(folder)
        newest = int(reopened.get(b"newest") or -1)
        kept = reopened.range(b"n/", b"n0")
        reopened.close()
        assert newest >= acknowledged
        assert [(int(key[2:]), len(value)) for key, value in kept] == [(n, n * 37 % 3000) for n in range(newest + 1)]
        acknowledged = newest


# ---- room ----------------------------------------------------------------------------------------------


def test_the_map_grows_before_it_is_full(store: LmdbStorage) -> None:
    for n in range(100):
        put(store, b"%03d" % n, 50_000)
    assert store.map_size_bytes == 8 * MIB
    assert len(store.range(b"0", b"9")) == 100


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
    assert result(CUT_SHORT, tmp_path / "store").splitlines() == ["full b'1' None", "b'2' 300000"]
    assert not (tmp_path / "store" / "probe.tmp").exists()


# ---- the folder ----------------------------------------------------------------------------------------


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "store"
    LmdbStorage(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_what_was_stored_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    first = LmdbStorage(tmp_path, map_size_bytes=MIB)
    put(first, b"a", 5 * MIB)
    first.close()
    second = LmdbStorage(tmp_path, map_size_bytes=MIB)
    assert second.get(b"a") == b"v" * 5 * MIB
    put(second, b"b", 5 * MIB)
    second.close()


def test_another_schema_is_refused_with_both_versions(tmp_path: Path) -> None:
    store = LmdbStorage(tmp_path)
    store.commit([], [Write(keys.SCHEMA, b"7")])
    store.close()
    for _ in range(2):  # refused, and let go of
        with pytest.raises(SchemaError, match=r"schema 7, .* reads schema 1: start the version that wrote it"):
            LmdbStorage(tmp_path)


def test_a_store_without_a_schema_is_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path)) as env, env.begin(write=True) as txn:
        txn.put(b"theirs", b"1")
    with pytest.raises(SchemaError, match="schema none"):
        LmdbStorage(tmp_path)


@pytest.mark.parametrize("content", [b"no database\n", b"\0" * 8192, b"garbage" * 5000])
def test_a_file_that_is_no_store_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(StoreFolderError, match=r"data\.mdb is no store .* move it away"):
        LmdbStorage(tmp_path)
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(StoreFolderError, match=r"photo\.jpg"):
        LmdbStorage(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["photo.jpg"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFolderError, match="cannot use"):
        LmdbStorage(tmp_path / "file")


def test_a_first_start_that_was_killed_can_be_repeated(tmp_path: Path) -> None:
    for name in ("cicd.lock", "lock.mdb", "data.mdb"):
        (tmp_path / name).touch()
        LmdbStorage(tmp_path).close()
        for file in tmp_path.iterdir():
            file.unlink()


def test_a_second_master_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with child(COMMITTER, tmp_path) as first:
        try:
            assert first.stdout is not None
            first.stdout.readline()
            with pytest.raises(UnavailableError, match=rf"another master uses this data folder \(pid {first.pid}\)"):
                LmdbStorage(tmp_path)
        finally:
            first.kill()
    LmdbStorage(tmp_path).close()


def test_the_same_process_is_refused_as_well(store: LmdbStorage, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=f"pid {os.getpid()}"):
        LmdbStorage(tmp_path / "store")


FORKED = """
import os, sys
from pathlib import Path
from cicd.storage.base import Write
from cicd.storage.lmdb import LmdbStorage

store = LmdbStorage(Path(sys.argv[1]))
store.commit([], [Write(b"a", b"1")])
pid = os.fork()
if not pid:
    for call in (lambda: store.get(b"a"), lambda: store.commit([], [])):
        try:
            call()
        except RuntimeError as error:
            os.write(1, b"%s\\n" % str(error).encode())
    store.close()
    os._exit(0)
os.waitpid(pid, 0)
store.commit([], [Write(b"b", b"2")])
store.close()
LmdbStorage(Path(sys.argv[1])).close()
print("parent is well")
"""


def test_a_forked_child_cannot_use_it_and_does_no_harm(tmp_path: Path) -> None:
    refused = "the store must not be used in a forked child"
    assert result(FORKED, tmp_path).splitlines() == [refused, refused, "parent is well"]


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    store = LmdbStorage(tmp_path)
    put(store, b"a")
    store.get(b"a")
    store.close()
    (tmp_path / "data.mdb").write_bytes(b"garbage")
    with pytest.raises(StoreFolderError):
        LmdbStorage(tmp_path)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_too_many_views_at_once_is_a_reason_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_READERS", 2)
    store = LmdbStorage(tmp_path)
    with store.snapshot(), store.snapshot(), pytest.raises(UnavailableError, match="more than 2 views"):
        store.get(b"a")
    assert store.get(b"a") is None
    store.close()
