"""What the rules of retention remove, and above all what they never remove."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors_support import run_record
from cicd.core.retention import (
    DAY_S,
    CacheRules,
    RunRules,
    age,
    cache_to_drop,
    largest,
    logs_expired,
    over_quota,
    run_expired,
    size,
    unused_expired,
)
from cicd.messages.base import Digest, JobId
from cicd.messages.disk import TOP, AttemptDisk, DiskUse
from cicd.messages.jobhost import CacheItem
from cicd.messages.run import RunState

GIB = 1024**3
NOW = 1000 * DAY_S


def item(name: str, days: float, size_bytes: int = GIB) -> CacheItem:
    return CacheItem(kind="plugin", digest=Digest(name), size_bytes=size_bytes, used_s=NOW - days * DAY_S)


ITEMS = [item("new", 0.0), item("b", 2), item("a", 3), item("c", 1)]


def dropped(rules: CacheRules, needed=(), total_bytes=4 * GIB) -> list[str]:
    return [one.digest for one, why in cache_to_drop(ITEMS, needed, total_bytes, NOW, rules) if why]


def test_a_cache_goes_from_its_oldest_end_and_only_as_far_as_it_must():
    assert dropped(CacheRules()) == []
    assert dropped(CacheRules(cache_bytes=2 * GIB)) == ["a", "b"]
    assert dropped(CacheRules(cache_age_s=2 * DAY_S)) == ["a", "b"]
    assert dropped(CacheRules(total_bytes=9 * GIB), total_bytes=10 * GIB) == ["a"]


def test_what_is_needed_or_fresh_is_never_dropped():
    rules = CacheRules(cache_bytes=1, cache_age_s=1.0, total_bytes=1)
    assert dropped(rules, needed=("a", "c")) == ["b"]
    assert dropped(rules) == ["a", "b", "c"]


def test_reasons_are_for_people():
    (first, why), *_ = cache_to_drop(ITEMS, (), 4 * GIB, NOW, CacheRules(cache_bytes=2 * GIB))
    assert (first.digest, why) == ("a", "used longest ago in a cache of 4 GiB; 2 GiB are kept")


def test_a_quota_says_both_numbers():
    assert over_quota(int(5.1 * GIB), 5 * GIB) == "disk quota: 5.1 GiB used, 5 GiB allowed"
    assert over_quota(5 * GIB, 5 * GIB) == ""
    assert over_quota(5 * GIB, 0) == ""


def run(number: int, days: float = 0.0, state: RunState = RunState.SUCCEEDED):
    return replace(run_record("r"), number=number, state=state, finished_s=NOW - days * DAY_S)


@pytest.mark.parametrize(
    ("one", "newest", "rules", "why"),
    [
        (run(3), 10, RunRules(), ""),
        (run(3), 10, RunRules(runs_keep=5), "older than the newest 5 runs of p"),
        (run(6), 10, RunRules(runs_keep=5), ""),
        (run(3, state=RunState.RUNNING), 10, RunRules(runs_keep=5, runs_age_s=1.0), ""),
        (run(10, days=9), 10, RunRules(runs_keep=1, runs_age_s=1.0), ""),
        (run(3, days=9), 10, RunRules(runs_age_s=8 * DAY_S), "ended 9 days ago; 8 days are kept"),
        (run(3, days=7), 10, RunRules(runs_age_s=8 * DAY_S), ""),
        (run(3, days=9), 0, RunRules(runs_keep=1, runs_age_s=8 * DAY_S), "ended 9 days ago; 8 days are kept"),
        (run(3, days=1), 0, RunRules(runs_keep=1), ""),
    ],
)
def test_which_runs_go(one, newest, rules, why):
    assert run_expired(one, newest, NOW, rules) == why


def test_which_logs_go():
    rules = RunRules(logs_age_s=8 * DAY_S)
    assert logs_expired(run(1, days=9), NOW, rules) == "its run ended 9 days ago; logs are kept for 8 days"
    assert logs_expired(run(1, days=7), NOW, rules) == ""
    assert logs_expired(run(1, days=9, state=RunState.RUNNING), NOW, rules) == ""
    assert logs_expired(run(1, days=9), NOW, RunRules()) == ""


def test_what_nothing_uses_goes_in_time():
    assert unused_expired(3 * DAY_S, 2 * DAY_S) == "not in use for 3 days; 2 days are kept"
    assert unused_expired(DAY_S, 2 * DAY_S) == ""
    assert unused_expired(DAY_S, 0.0) == ""


def test_a_report_names_the_largest():
    folders = [
        AttemptDisk(job=JobId(f"r-{n}"), attempt=1, size_bytes=n, pipeline=f"p{n % (TOP + 2)}") for n in range(3 * TOP)
    ]
    attempts, pipelines = largest(folders)
    assert [one.size_bytes for one in attempts] == list(range(3 * TOP - 1, 2 * TOP - 1, -1))
    assert len(pipelines) == TOP
    assert pipelines[0].size_bytes == max(one.size_bytes for one in pipelines)
    assert sum(one.folders for one in pipelines) <= len(folders)


def test_all_that_a_minion_keeps():
    assert DiskUse(workspaces_bytes=1, plugins_bytes=10, sources_bytes=100, spool_bytes=1000).total_bytes == 1111


def test_numbers_for_people():
    assert [size(n) for n in (0, 1023, 1536, GIB, 5000 * 1024**4)] == ["0 B", "1023 B", "1.5 KiB", "1 GiB", "5000 TiB"]
    assert [age(s) for s in (5, 90, 7200, 36 * 3600, 2 * DAY_S, 90 * DAY_S)] == [
        "5 s", "1.5 min", "2 h", "36 h", "2 days", "90 days",
    ]  # fmt: skip
