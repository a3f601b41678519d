"""Plugins and source trees as tars that are named by their sha256: packing, storing, and unpacking without trust.

A source tree is whatever somebody committed, so a tar is unpacked as hostile: only files, folders and symlinks; every
name stays inside; size and count have limits. Symlinks are made as they are (a workspace may hold one that points to
/usr) but last, and never is anything written through one. The destination appears only when it is whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from cicd.errors import ProtocolError
from cicd.messages.base import Digest
from cicd.plugins.tarball import TarWriter

MAX_BYTES = 16 * 1024**3
"""Most bytes that one tar may become."""
MAX_MEMBERS = 1_000_000
_PIECE_BYTES = 1024 * 1024
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FAULTS_OF_NAMES = (
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.ENOENT,
)
_LIBC = ctypes.CDLL(None, use_errno=True)


class ArtifactError(ProtocolError):
    """A tar that is not what its digest says, or that must not be unpacked."""

    code = "artifact"


@dataclass(frozen=True, slots=True)
class Packed:
    """A tar that was written."""

    digest: Digest
    size_bytes: int


def pack(folder: Path, tar: Path) -> Packed:
    """Write what is in a folder into a new tar; equal folders give equal bytes.

    Raises:
        ArtifactError: the folder holds something that is no file, folder or symlink.
    """
    with TarWriter(tar) as writer:
        for path in _walk(folder):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                writer.symlink(name, str(path.readlink()))
            elif path.is_dir():
                writer.folder(name)
            elif path.is_file():
                with path.open("rb") as content:
                    status = os.fstat(content.fileno())
                    writer.file(name, status.st_size, content, executable=bool(status.st_mode & 0o100))
            else:
                raise ArtifactError(f"{name!r} is no file, folder or symlink")
    return Packed(writer.digest, writer.size_bytes)


def keep(tar: Path, packed: Packed, place: Path) -> None:
    """Move a tar to where it is kept, whole or not at all; what is there already and is right stays as it is."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_file() and place.stat().st_size == packed.size_bytes and sha256_of(place) == packed.digest:
        tar.unlink()
        return
    tar.replace(place)
    for folder in (place.parent, place.parent.parent):
        _fsync_folder(folder)


def sha256_of(path: Path) -> Digest:
    """Return a file's sha256."""
    with path.open("rb") as file:
        return _digest(file)


def unpack(
    tar: Path,
    digest: Digest,
    folder: Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_members: int = MAX_MEMBERS,
    durable: bool = True,
) -> None:
    """Check a tar and unpack it as `folder`, whole or not at all. A folder that is there already is taken to be it.

    Args:
        tar: the file.
        digest: what its sha256 has to be.
        folder: made, with its parents.
        max_bytes: most that it may become.
        max_members: most files, folders and symlinks.
        durable: whether the folder has to be whole after a power loss too, if it is there at all.

    Raises:
        ArtifactError: another digest, or a tar that must not be unpacked; nothing is left behind.
        OSError: the disk (full, or failing).
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # One descriptor for both, so that what was checked is what is unpacked.
    with tar.open("rb") as file:
        found = _digest(file)
        if found != digest:
            raise ArtifactError(f"{tar.name}: its sha256 is {found}, not {digest}")
        file.seek(0)
        making = Path(tempfile.mkdtemp(prefix=".unpack-", dir=folder.parent))
        try:
            extract(file, making, max_bytes=max_bytes, max_members=max_members)
            making.chmod(0o755)
            if durable:
                _sync_filesystem(making)
            _appear(making, folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)


def extract(file: BinaryIO, folder: Path, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS) -> None:
    """Unpack a tar into an empty folder.

    Raises:
        ArtifactError: a member that must not be unpacked; some may have been.
        OSError: the disk (full, or failing).
    """
    try:
        _Extraction(folder, max_bytes, max_members).run(file)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError) as error:
        raise ArtifactError(f"not a tar: {error}") from None


class _Extraction:
    """One tar on its way into one empty folder."""

    def __init__(self, folder: Path, max_bytes: int, max_members: int) -> None:
        self._folder = folder
        self._left_bytes = max_bytes
        self._left_members = max_members
        self._links: dict[str, str] = {}

    def run(self, file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="r:", errors="surrogateescape") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # not in typeshed; or every header stays in memory
                self._take(tar, member)
        self._make_links()

    def _take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = _checked_name(member.name)
        self._left_members -= 1
        self._left_bytes -= max(0, member.size)
        if self._left_members < 0 or self._left_bytes < 0:
            raise ArtifactError("the tar is over the limit of members or bytes")
        path = f"{self._folder}/{name}"
        if member.type == tarfile.SYMTYPE:
            if not member.linkname or "\0" in member.linkname or name in self._links:
                raise ArtifactError(f"{name!r}: not a symlink that can be made")
            self._links[name] = member.linkname
        elif member.type == tarfile.DIRTYPE:
            with _blaming(name):
                os.makedirs(path, exist_ok=True)  # noqa: PTH103  str is quicker than Path, and this is per file
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            self._write(tar, member, name, path)
        else:
            raise ArtifactError(f"{name!r} is no file, folder or symlink")

    def _write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, path: str) -> None:
        content = tar.extractfile(member)
        if content is None:
            raise ArtifactError(f"{name!r} has no content")
        mode = 0o755 if member.mode & 0o111 else 0o644
        with _blaming(name):
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120  as above
            descriptor = os.open(path, _NEW_FILE, mode)
        with open(descriptor, "wb") as target:  # noqa: PTH123  a descriptor
            shutil.copyfileobj(content, target, _PIECE_BYTES)
            os.fchmod(descriptor, mode)  # whatever the umask is
            target.flush()
            os.utime(descriptor, (member.mtime, member.mtime))

    def _make_links(self) -> None:
        # All folders first: while they are made there is no symlink that one could be made through, and where a link
        # is to lie behind another one, that other one now collides with the folder.
        for name in self._links:
            with _blaming(name):
                (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name, target in self._links.items():
            with _blaming(name):
                os.symlink(target, self._folder / name)  # noqa: PTH211  the target is any text


@contextlib.contextmanager
def _blaming(name: str) -> Iterator[None]:
    """A name that collides with another member, or that no file can have, is the tar's fault; the rest the disk's."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FAULTS_OF_NAMES:
            raise
        raise ArtifactError(f"{name[:200]!r}: {os.strerror(error.errno)}") from None


def _checked_name(name: str) -> str:
    parts = name.rstrip("/").split("/")
    if not name or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ArtifactError(f"{name[:200]!r}: not a name inside the folder")
    return "/".join(parts)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield files, symlinks and empty folders below a folder, ordered by the bytes of their paths."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        found += [here / name for name in files]
        found += [here / name for name in folders if (here / name).is_symlink()]
        if not folders and not files and here != folder:
            found.append(here)
    return iter(sorted(found, key=os.fsencode))


def _digest(file: BufferedReader) -> Digest:
    return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def _appear(making: Path, folder: Path) -> None:
    try:
        making.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return  # somebody else was quicker with the same content
    _fsync_folder(folder.parent)


def _sync_filesystem(path: Path) -> None:
    """Make everything written so far durable: one call, where fsync would be one per file of a tree."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), f"syncfs: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
