"""What LMDB has to keep beyond the contract: kills, its folder, one process."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from cicd.errors import UnavailableError
from cicd.storage import keys
from cicd.storage.base import SchemaError, Write
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


# ---- the folder ----------------------------------------------------------------------------------------


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "store"
    LmdbStorage(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    LmdbStorage(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_child_that_has_inherited_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    store = LmdbStorage(tmp_path)
    inherited = os.dup(store._folder._lock_fd)
    store.close()
    LmdbStorage(tmp_path).close()
    os.close(inherited)


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
    caught = []  # kept, as each holds what was half open
    for _ in range(2):  # refused, and let go of
        with pytest.raises(SchemaError, match=r"schema 7, .* reads schema 1: start the version that wrote it") as one:
            LmdbStorage(tmp_path)
        caught.append(one)


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
from cicd.errors import UnavailableError
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
try:
    LmdbStorage(Path(sys.argv[1]))
except UnavailableError:
    print("parent still has it")
store.close()
LmdbStorage(Path(sys.argv[1])).close()
"""


def test_a_forked_child_cannot_use_it_and_does_no_harm(tmp_path: Path) -> None:
    refused = "the store must not be used in a forked child"
    assert result(FORKED, tmp_path).splitlines() == [refused, refused, "parent still has it"]


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


def test_durability_is_what_it_was_measured_with(tmp_path: Path) -> None:
    """No test can cut the power; the settings that were seen to survive it are pinned here."""
    store = LmdbStorage(tmp_path)
    flags = store._env.flags()
    store.close()
    assert (flags["sync"], flags["metasync"], flags["writemap"], flags["map_async"]) == (True, True, False, False)
    assert (tmp_path / "data.mdb").read_bytes()[16:24] == bytes.fromhex("dec0efbe01000000")  # the 0.9 engine's format
