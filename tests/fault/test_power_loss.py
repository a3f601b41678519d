"""A power cut at any moment: the store opens, and everything that was acknowledged is in it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from cicd.storage.lmdb import LmdbStorage
from power_loss import Disk, Said, record
from witness import Dice

STRACE = shutil.which("strace")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(STRACE is None, reason="strace is not installed (make deps)"),
]

WORKLOAD = """
import os, sys
from pathlib import Path
from cicd.storage.base import Write
from cicd.storage.lmdb import LmdbStorage

storage = LmdbStorage(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    key = b"key %d" % (number * 7919 % 50)
    storage.commit([], [Write(key, b"%d " % number * 200), Write(b"last", b"%d" % number)])
    os.write(1, b"%d" % number)
"""


def state_after(number: int) -> dict[bytes, bytes]:
    """Return what the store holds after so many commits of the workload."""
    state = {b"key %d" % (each * 7919 % 50): b"%d " % each * 200 for each in range(number)}
    return state | ({b"last": b"%d" % (number - 1)} if number else {})


def test_no_acknowledged_commit_is_lost_and_every_image_opens(tmp_path: Path, size, figure) -> None:
    """Images of the data file at random moments; the commit under way is there whole or not at all."""
    images = size(40, 1000)
    commits = size(40, 400)
    script = tmp_path / "workload.py"
    script.write_text(WORKLOAD)
    folder = tmp_path / "recorded"
    command = [sys.executable, str(script), str(folder), str(commits)]
    steps = record(str(STRACE), command, "data.mdb", tmp_path / "trace")
    assert sum(isinstance(step, Said) for step in steps) == commits
    first = next(index for index, step in enumerate(steps) if isinstance(step, Said))
    dice = Dice(11)
    chosen = sorted(int(dice.between(first, len(steps))) for _ in range(images))
    lost = corrupt = checked = 0
    disk, acknowledged = Disk(), 0
    for index, step in enumerate(steps):
        for _ in range(chosen.count(index)):
            checked += 1
            place = tmp_path / "image"
            shutil.copytree(folder, place)
            (place / "data.mdb").write_bytes(disk.image(dice, step))
            found = _open(place)
            shutil.rmtree(place)
            if found is None:
                corrupt += 1
            elif found not in (state_after(acknowledged), state_after(acknowledged + 1)):
                lost += 1
        disk.take(step)
        acknowledged += isinstance(step, Said)
    figure("power-loss images of the store", images=checked, commits=commits, lost=lost, corrupt=corrupt)
    assert (lost, corrupt) == (0, 0)


def _open(folder: Path) -> dict[bytes, bytes] | None:
    """Return what a store holds; None: it does not open, or cannot be read."""
    try:
        storage = LmdbStorage(folder)
    except Exception:  # noqa: BLE001  whatever it says: it does not open
        return None
    try:
        found = dict(storage.range(b"k", b"l"))
        last = storage.get(b"last")
        return found | ({b"last": last} if last is not None else {})
    finally:
        storage.close()
