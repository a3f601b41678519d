"""Copying a source tree into an attempt's workspace, and removing folders whatever a job did to their modes."""

# ruff: noqa: PTH101, PTH102, PTH106, PTH108, PTH112, PTH114, PTH115, PTH211  pathlib is not worth its import here

from __future__ import annotations

import contextlib
import os
import shutil
import stat


def copy_tree(source: str, target: str) -> None:
    """Copy what is in `source` into the folder `target`, which exists: symlinks as they are, modes kept, times new.

    Raises:
        OSError: it cannot be read or written (disk full).
    """
    with os.scandir(source) as entries:
        for entry in entries:
            place = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), place)
            elif entry.is_dir(follow_symlinks=False):
                os.mkdir(place)
                copy_tree(entry.path, place)
                os.chmod(place, _mode(entry) | stat.S_IRWXU)
            else:
                shutil.copyfile(entry.path, place)
                # The cache may keep its files read-only; a workspace is there to be written to.
                os.chmod(place, _mode(entry) | stat.S_IWUSR)


def _mode(entry: os.DirEntry[str]) -> int:
    return entry.stat(follow_symlinks=False).st_mode & 0o777


def remove_tree(path: str) -> None:
    """Remove a folder and all below it, also folders that a job has made unreadable. What cannot be removed stays."""
    if os.path.islink(path) or not os.path.isdir(path):
        return
    try:
        os.chmod(path, stat.S_IRWXU)
        with os.scandir(path) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    remove_tree(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(path)
    except OSError:
        return


def remove_empty(path: str) -> None:
    """Remove a folder if nothing is in it."""
    with contextlib.suppress(OSError):
        os.rmdir(path)
