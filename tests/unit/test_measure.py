"""Measuring a minion's disk: what counts, and that it never takes more than its share of the time."""

from __future__ import annotations

import os
from pathlib import Path

from cicd.plugins.child.measure import Meter, Pace, walk

KIB = 1024


class Clock:
    """Time that passes by sleeping, and by a millisecond with each look."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds


def test_what_the_disk_has_given_counts_and_hard_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100 * KIB)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c").write_bytes(b"x" * 50 * KIB)
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "link").symlink_to("/usr")
    total = sum(walk(str(tmp_path)))
    assert 150 * KIB <= total < 200 * KIB
    assert list(walk(str(tmp_path / "nothing"))) == []


def test_it_works_a_tenth_of_the_time() -> None:
    clock = Clock()
    pace = Pace(clock.sleep, clock)
    for _ in range(1000):
        pace.step()
    assert 0.85 < clock.slept / clock.now < 0.95
    slept = clock.slept
    clock.now += 1000  # somebody else's time
    pace.begin()
    pace.step()
    assert clock.slept == slept


def test_a_round_tells_folders_cache_and_spool(tmp_path: Path) -> None:
    for name in ("work/r-0/1", "work/r-1/2", "cache/plugin/aa", "cache/source/bb", "cache/plugin/.gone-x", "spool"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 8 * KIB)
    os.utime(tmp_path / "cache/plugin/aa", (5.0, 5.0))
    told: list[dict] = []
    meter = Meter(str(tmp_path), Pace(lambda _seconds: None), told.append)
    meter.round()
    sizes = {tuple(one["folder"]): one["bytes"] for one in told if "folder" in one}
    assert set(sizes) == {("r-0", "1"), ("r-1", "2")}
    assert all(size >= 8 * KIB for size in sizes.values())
    last = told[-1]
    assert last["folders"] == [("r-0", "1"), ("r-1", "2")]
    assert last["spool"] >= 8 * KIB
    assert list(last["plugin"]) == ["aa"]
    assert last["plugin"]["aa"][1] == 5.0
    assert last["source"]["bb"][0] >= 8 * KIB
    (tmp_path / "cache/plugin/aa").rename(tmp_path / "cache/plugin/.gone-aa")
    meter.round()
    assert told[-1]["plugin"] == {}
    assert list(told[-1]["source"]) == ["bb"]
