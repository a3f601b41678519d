"""The clone step: fetch the repository, find the commit, pack its tree. `python -m cicd.plugins.build.clone WORK`."""

from __future__ import annotations

import os
from pathlib import Path

from cicd.plugins import repository
from cicd.plugins.artifact import Packed, keep
from cicd.plugins.build.git_environment import git_environment
from cicd.plugins.build.step import Cloned, Request, run_step
from cicd.plugins.source import Commit, Mirror, MirrorError, locked_mirror


def source_place(data_dir: Path, digest: str) -> Path:
    """Return where a source tree's tar is kept."""
    return data_dir / "sources" / f"{digest}.tar"


def clone(request: Request, work: Path) -> Cloned:
    """Do the step.

    Raises:
        CicdError: the repository, its host, the ref or the login; one line for people.
    """
    settings, source = request.settings, request.source
    # Checked again: the config may have changed since the pipeline was created.
    repository.canonical(source.repository, allowed_hosts=settings.allowed_hosts, allow_local=settings.allow_local)
    repository.check_ref(source.ref)
    address = repository.parse(source.repository)
    env = git_environment(os.environ, address, settings.credential_for(address), work)
    data_dir, tar = Path(settings.data_dir), work / "source.tar"
    with locked_mirror(data_dir / "repositories", source.repository, env) as mirror:
        try:
            commit, packed = _take(mirror, source.ref, tar)
        except MirrorError as error:
            print(f"{error.message}: fetching all of it again")  # noqa: T201  the build's log
            tar.unlink(missing_ok=True)
            mirror.discard()
            commit, packed = _take(mirror, source.ref, tar)
    keep(tar, packed, source_place(data_dir, packed.digest))
    print(f"commit {commit.sha}, tree {packed.digest} ({packed.size_bytes} bytes)")  # noqa: T201  the build's log
    return Cloned(commit=commit.sha, digest=packed.digest, size_bytes=packed.size_bytes)


def _take(mirror: Mirror, ref: str, tar: Path) -> tuple[Commit, Packed]:
    commit = mirror.commit(ref)
    return commit, mirror.pack(commit, tar)


if __name__ == "__main__":
    run_step("source", clone)
