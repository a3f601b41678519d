"""A repository's mirror on the master, and a commit's tree as a tar. Used in a process that lives for one clone.

The mirror is bare, one per URL, and only ever fetched into: building again costs what is new. What it fetches goes
below `refs/cicd/`, so that nothing in it is ever taken for a ref of its own. One process at a time works on a
mirror (a file lock); what an earlier one left locked when it was killed is therefore stale.

GitPython does the talking (`Remote.fetch`); what is read out afterwards is read by plumbing commands whose
arguments are ours alone. The tree is packed as it was committed: no attributes, no filters, no submodules, LFS
pointers as pointers.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cicd.errors import CicdError, NotFoundError, UserError
from cicd.plugins.artifact import MAX_BYTES, MAX_MEMBERS, Packed
from cicd.plugins.tarball import TarWriter

_HEADS = "refs/cicd/heads/"
_TAGS = "refs/cicd/tags/"
_DEFAULT = "refs/cicd/default"
_FETCHED = (f"+refs/heads/*:{_HEADS}*", f"+refs/tags/*:{_TAGS}*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PERHAPS_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_MAX_LINK_BYTES = 4096
_SHOWN_NAMES = 8
_SHOWN_LINES = 6


class MirrorError(CicdError):
    """A mirror that cannot be read (cut short by a crash, damaged): throw it away and fetch anew."""

    code = "mirror"


class FetchError(CicdError):
    """git could not fetch; the text holds what it said."""

    code = "source"
    retryable = True


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that is in the mirror.

    Attributes:
        sha: 40 hexadecimal characters.
        time_s: when it was committed, seconds since the epoch.
    """

    sha: str
    time_s: int


@contextlib.contextmanager
def locked_mirror(folder: Path, url: str, env: Mapping[str, str]) -> Iterator[Mirror]:
    """Hold the mirror of a URL, alone, waiting for whoever has it.

    Args:
        folder: where mirrors are kept.
        url: a repository's long form.
        env: git's whole environment.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(url.encode()).hexdigest()
    with (folder / f"{name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Mirror(folder / name, url, env)


class Mirror:
    """One repository's mirror. The caller holds its lock.

    Args:
        path: the bare repository; made when it is missing.
        url: where it fetches from.
        env: git's whole environment.
    """

    def __init__(self, path: Path, url: str, env: Mapping[str, str]) -> None:
        self.path = path
        self.url = url
        self._env = dict(env)

    def commit(self, ref: str) -> Commit:
        """Fetch, and return what a ref means: a branch, else a tag, else a commit; empty: the default branch.

        Raises:
            FetchError: git could not fetch.
            NotFoundError: the repository has no such ref.
            MirrorError: the mirror is of no use.
        """
        if _COMMIT.fullmatch(ref) and self.path.exists() and self._commit_of(ref):
            return self._found(ref)  # a commit never changes: nothing to ask for
        self._fetch([*_FETCHED, f"+HEAD:{_DEFAULT}"] if not ref else list(_FETCHED))
        sha = self._resolve(ref)
        if not sha and _COMMIT.fullmatch(ref):
            # Not below any branch or tag; a server may still have it.
            with contextlib.suppress(FetchError):
                self._fetch([f"+{ref}:refs/cicd/commits/{ref}"])
            sha = self._commit_of(ref)
        if not sha:
            raise NotFoundError(f"{self.url} has no branch, tag or commit {ref!r}{self._hint(ref)}")
        return self._found(sha)

    def pack(self, commit: Commit, tar: Path) -> Packed:
        """Write the tree of a commit into a new tar.

        Raises:
            UserError: the tree cannot be packed (names that lead elsewhere, too large).
            MirrorError: an object is missing.
        """
        with TarWriter(tar, commit.time_s) as writer, self._objects() as objects:
            left_bytes = MAX_BYTES
            for number, entry in enumerate(self._tree(commit.sha)):
                left_bytes -= entry.size_bytes
                if left_bytes < 0 or number >= MAX_MEMBERS:
                    raise UserError(f"the tree of {commit.sha} has more than {MAX_MEMBERS} files or {MAX_BYTES} bytes")
                entry.write(writer, objects)
        return Packed(writer.digest, writer.size_bytes)

    def discard(self) -> None:
        """Throw the mirror away."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _fetch(self, refspecs: list[str]) -> None:
        import git  # here, so that nothing but a clone's own process ever loads it

        self._open()
        print(f"fetching {self.url}", flush=True)  # noqa: T201  the build's log
        repo, heard = git.Repo(self.path), git.RemoteProgress()
        try:
            repo.git.update_environment(**self._env)
            # Quiet: GitPython reads what git reports of each ref, and stumbles over a commit fetched by its name.
            repo.remote("origin").fetch(
                refspecs, heard, verbose=False, quiet=True, prune=True, no_tags=True, force=True
            )
        except git.GitCommandError:
            # In the error itself are git's own complaints only; what ssh said stands among the rest.
            said = [line.strip() for line in (*heard.other_lines, *heard.error_lines) if line.strip()]
            print("\n".join(said), flush=True)  # noqa: T201  the build's log
            raise FetchError(f"cannot fetch {self.url}: {'; '.join(said[-_SHOWN_LINES:]) or 'git failed'}") from None
        finally:
            repo.close()

    def _open(self) -> None:
        for lock in self.path.rglob("*.lock"):
            lock.unlink()  # we hold the mirror: whoever made it was killed
        if not (self.path / "HEAD").exists():
            self.discard()
            # Without templates: they bring hooks.
            self._git("init", "--quiet", "--bare", "--template=").check_returncode()
        self._git("config", "remote.origin.url", self.url).check_returncode()

    def _resolve(self, ref: str) -> str:
        if not ref:
            return self._commit_of(_DEFAULT)
        branch, tag = ref.removeprefix("refs/heads/"), ref.removeprefix("refs/tags/")
        names = []
        if not ref.startswith("refs/tags/"):
            names.append(_HEADS + branch)
        if not ref.startswith("refs/heads/"):
            names.append(_TAGS + tag)
        if _PERHAPS_COMMIT.fullmatch(ref):
            names.append(ref)
        return next(filter(None, map(self._commit_of, names)), "")

    def _commit_of(self, name: str) -> str:
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        sha = done.stdout.decode(errors="replace").strip()
        return sha if done.returncode == 0 and _COMMIT.fullmatch(sha) else ""

    def _found(self, sha: str) -> Commit:
        done = self._git("show", "--no-patch", "--format=%ct", sha)
        text = done.stdout.strip()
        if done.returncode != 0 or not text.isdigit():
            raise MirrorError(f"the mirror of {self.url} cannot read commit {sha}")
        return Commit(sha, int(text))

    def _hint(self, ref: str) -> str:
        done = self._git("for-each-ref", "--format=%(refname)", _HEADS, _TAGS)
        refs = done.stdout.decode(errors="replace").split()
        names = [name.removeprefix(_HEADS).removeprefix(_TAGS) for name in refs]
        near = difflib.get_close_matches(ref, names, n=_SHOWN_NAMES) or names[:_SHOWN_NAMES]
        return f" (it has: {', '.join(near)}{', ...' if len(near) < len(names) else ''})" if names else " (it is empty)"

    def _tree(self, sha: str) -> Iterator[TreeEntry]:
        done = self._git("ls-tree", "-r", "-z", "-l", "--full-tree", sha)
        if done.returncode != 0:
            raise MirrorError(f"the mirror of {self.url} cannot read the tree of {sha}")
        entries = [TreeEntry.parse(line) for line in done.stdout.split(b"\0") if line]
        return iter(sorted(entries, key=lambda entry: entry.name))

    @contextlib.contextmanager
    def _objects(self) -> Iterator[Objects]:
        argv = ["git", f"--git-dir={self.path}", "cat-file", "--batch"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._env) as process:
            try:
                yield Objects(process)
            finally:
                process.kill()

    def _git(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        argv = ["git", f"--git-dir={self.path}", *arguments]
        return subprocess.run(argv, capture_output=True, env=self._env, stdin=subprocess.DEVNULL, check=False)


class Objects:
    """Blobs out of a `git cat-file --batch`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101  pipes were asked for
        assert process.stdout is not None  # noqa: S101  the same
        self._ask: IO[bytes] = process.stdin
        self._answer: IO[bytes] = process.stdout

    @contextlib.contextmanager
    def blob(self, sha: str, size_bytes: int) -> Iterator[IO[bytes]]:
        """Yield a stream whose next `size_bytes` bytes are the blob; they must all be read."""
        self._ask.write(f"{sha}\n".encode())
        self._ask.flush()
        header = self._answer.readline().split()
        if header[1:] != [b"blob", str(size_bytes).encode()]:
            raise MirrorError(f"the mirror has no blob {sha}")
        yield self._answer
        self._answer.read(1)


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file, symlink or submodule of a commit.

    Attributes:
        name: its path, as bytes of the tree.
        mode: git's: 100644, 100755, 120000 (symlink), 160000 (submodule).
    """

    name: bytes
    mode: str
    sha: str
    size_bytes: int

    @classmethod
    def parse(cls, line: bytes) -> TreeEntry:
        """Return the entry in a line of `git ls-tree -l -z`."""
        facts, _, name = line.partition(b"\t")
        mode, _kind, sha, size = facts.decode().split()
        return cls(name, mode, sha, int(size) if size.isdigit() else 0)

    def write(self, writer: TarWriter, objects: Objects) -> None:
        """Add this entry to a tar."""
        if any(part.lower() in (b"", b".", b"..", b".git") for part in self.name.split(b"/")):
            raise UserError(f"the commit holds {self.name!r}, a name that no checkout would make")
        name = self.name.decode(errors="surrogateescape")
        if self.mode == "160000":
            print(f"submodule {name!r} is left empty")  # noqa: T201  the build's log
            writer.folder(name)
        elif self.mode == "120000":
            if self.size_bytes > _MAX_LINK_BYTES:
                raise UserError(f"the commit holds a symlink of {self.size_bytes} bytes: {name!r}")
            with objects.blob(self.sha, self.size_bytes) as content:
                writer.symlink(name, content.read(self.size_bytes).decode(errors="surrogateescape"))
        else:
            with objects.blob(self.sha, self.size_bytes) as content:
                writer.file(name, self.size_bytes, content, executable=self.mode == "100755")
