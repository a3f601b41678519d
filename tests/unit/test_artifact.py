"""Tars by digest: the same content gives the same bytes, and a hostile tar writes nowhere but into its folder."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.messages.base import Digest
from cicd.plugins import artifact
from cicd.plugins.artifact import ArtifactError, extract, keep, pack, sha256_of, unpack
from cicd.plugins.tarball import EARLIEST_S


def make_tree(folder: Path) -> None:
    (folder / "app" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "app" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "app" / "run.sh").chmod(0o700)
    (folder / "app" / "deep" / ("x" * 150)).write_bytes(b"long name")
    (folder / "app" / "ünïcode").write_bytes(bytes(range(256)))
    Path(os.fsdecode(os.fsencode(folder) + b"/app/not-utf8-\xff")).write_bytes(b"")
    (folder / "app" / "absolute").symlink_to("/usr/bin")
    (folder / "app" / "inside").symlink_to("run.sh")


def content_of(folder: Path) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_file():
            found[name] = (oct(path.stat().st_mode & 0o777), path.read_bytes())
        else:
            found[name] = ("folder", None)
    return found


def test_a_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    make_tree(tmp_path / "a")
    packed = pack(tmp_path / "a", tmp_path / "a.tar")
    assert (sha256_of(tmp_path / "a.tar"), (tmp_path / "a.tar").stat().st_size) == (packed.digest, packed.size_bytes)
    unpack(tmp_path / "a.tar", packed.digest, tmp_path / "cache" / "b")
    (tmp_path / "a" / "app" / "run.sh").chmod(0o755)  # modes are 644 or 755
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "run.sh":
            path.chmod(0o644)
    assert content_of(tmp_path / "cache" / "b") == content_of(tmp_path / "a")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["b"]


def test_equal_content_gives_equal_bytes_whatever_times_modes_and_order(tmp_path: Path) -> None:
    make_tree(tmp_path / "a")
    make_tree(tmp_path / "b")
    (tmp_path / "b" / "app" / "ünïcode").unlink()
    (tmp_path / "b" / "app" / "ünïcode").write_bytes(bytes(range(256)))
    (tmp_path / "b" / "app" / "ünïcode").chmod(0o600)
    os.utime(tmp_path / "b" / "app" / "run.sh", (1, 1))
    assert pack(tmp_path / "a", tmp_path / "a.tar") == pack(tmp_path / "b", tmp_path / "b.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = [os.fsencode(m.name) for m in tar]
        assert names == sorted(names)
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in tar} == {(0, 0, "", "", EARLIEST_S)}


def test_a_wrong_digest_unpacks_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path / "a")
    pack(tmp_path / "a", tmp_path / "a.tar")
    with pytest.raises(ArtifactError, match="sha256"):
        unpack(tmp_path / "a.tar", Digest("0" * 64), tmp_path / "out" / "b")
    assert list((tmp_path / "out").iterdir()) == []


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, target, size, 0o6777
    return info


def tar_of(*members: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return buffer.getvalue()


OUT = "/OUT"  # stands for a folder outside
HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "absolute": [member(f"{OUT}/evil")],
    "parent": [member("../out/evil")],
    "parent within": [member("a/../../out/evil")],
    "dot": [member("./a")],
    "empty": [member("")],
    "through a link before": [member("a", tarfile.SYMTYPE, OUT), member("a/evil", size=1)],
    "through a link after": [member("a/evil", size=1), member("a", tarfile.SYMTYPE, OUT)],
    "link through a link": [
        member("a", tarfile.SYMTYPE, OUT),
        member("a/evil", tarfile.SYMTYPE, "x"),
    ],
    "link far behind a link": [
        member("b/a", tarfile.SYMTYPE, OUT),
        member("b/a/c/evil", tarfile.SYMTYPE, "x"),
    ],
    "folder through a link": [
        member("a", tarfile.SYMTYPE, OUT),
        member("a/evil", tarfile.DIRTYPE),
    ],
    "file over a link": [member("a", tarfile.SYMTYPE, f"{OUT}/evil"), member("a", size=1)],
    "link twice": [member("a", tarfile.SYMTYPE, OUT), member("a", tarfile.SYMTYPE, "x")],
    "hard link": [member("a", size=1), member("b", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [member("a", tarfile.CHRTYPE)],
    "pipe": [member("a", tarfile.FIFOTYPE)],
    "sparse": [member("a", tarfile.GNUTYPE_SPARSE)],
    "twice": [member("a", size=1), member("a", size=1)],
    "file as folder": [member("a", size=1), member("a/b", size=1)],
    "empty link": [member("a", tarfile.SYMTYPE, "")],
    "long": [member("x" * 300, size=1)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_is_refused_and_writes_nowhere(name: str, tmp_path: Path) -> None:
    outside = tmp_path / "out"
    outside.mkdir()
    for info in HOSTILE[name]:
        info.name = info.name.replace(OUT, str(outside))
        info.linkname = info.linkname.replace(OUT, str(outside))
    (tmp_path / "x.tar").write_bytes(tar_of(*HOSTILE[name]))
    with pytest.raises(ArtifactError):
        unpack(tmp_path / "x.tar", sha256_of(tmp_path / "x.tar"), tmp_path / "cache" / "b")
    assert list(outside.iterdir()) == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_bombs_stop_at_the_limits(tmp_path: Path) -> None:
    for data in (tar_of(*(member(f"{n}", size=10) for n in range(4))), tar_of(*(member(f"{n}") for n in range(11)))):
        with pytest.raises(ArtifactError, match="limit"):
            extract(io.BytesIO(data), tmp_path, max_bytes=30, max_members=10)
        for path in tmp_path.iterdir():
            path.unlink()


def test_setuid_and_write_for_all_do_not_come_along(tmp_path: Path) -> None:
    extract(io.BytesIO(tar_of(member("a", size=1))), tmp_path)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o755


def test_a_symlink_that_points_out_is_made_as_it_is(tmp_path: Path) -> None:
    extract(io.BytesIO(tar_of(member("deep/er/a", tarfile.SYMTYPE, "/etc"), member("b", size=1))), tmp_path)
    assert (tmp_path / "deep/er/a").readlink() == Path("/etc")


@given(
    data=st.binary(max_size=600) | st.binary(min_size=1, max_size=40).map(lambda junk: tar_of(member("a"))[:500] + junk)
)
def test_any_bytes_are_a_tar_or_our_error(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    with contextlib.suppress(ArtifactError):
        extract(io.BytesIO(data), folder)


def test_a_tar_is_kept_once_and_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    make_tree(tmp_path / "a")
    place = tmp_path / "plugins" / "d" / "plugin.tar"
    packed = pack(tmp_path / "a", tmp_path / "1.tar")
    keep(tmp_path / "1.tar", packed, place)
    first = place.stat().st_ino
    keep(tmp_path / "2.tar", pack(tmp_path / "a", tmp_path / "2.tar"), place)
    assert place.stat().st_ino == first
    place.write_bytes(bytes(packed.size_bytes))
    keep(tmp_path / "3.tar", pack(tmp_path / "a", tmp_path / "3.tar"), place)
    assert sha256_of(place) == packed.digest
    assert not list(tmp_path.glob("*.tar"))


def test_what_is_unpacked_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    unpack(tmp_path / "missing.tar", Digest("0" * 64), tmp_path / "b")


def test_a_full_disk_is_no_fault_of_the_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path / "a")
    packed = pack(tmp_path / "a", tmp_path / "a.tar")

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        unpack(tmp_path / "a.tar", packed.digest, tmp_path / "out" / "b")
    assert list((tmp_path / "out").iterdir()) == []


def test_pipes_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe")
    with pytest.raises(ArtifactError, match="'pipe'"):
        pack(tmp_path / "a", tmp_path / "a.tar")
