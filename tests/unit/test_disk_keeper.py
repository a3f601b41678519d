"""The agent's cache stays within its limits, and heartbeats carry the disk only when there is news of it."""

from __future__ import annotations

import pytest

from cicd.actors.blob_cache import BlobCache
from cicd.actors.disk_keeper import REPEAT_S, DiskKeeper
from cicd.core.retention import CacheRules
from cicd.messages.base import Digest
from cicd.messages.bulk import BlobKind
from cicd.messages.cluster import Load
from cicd.messages.disk import DiskUse
from cicd.messages.jobhost import CacheItem, DiskReport
from cicd.testing.fake_clock import FakeClock
from cicd.testing.waiting import wait_until

A, B, C = (Digest(letter * 64) for letter in "abc")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(tmp_path, clock):
    made = BlobCache(tmp_path, lambda _news: None, clock)
    for digest in (A, B, C):
        (tmp_path / "plugin" / digest).mkdir()
        (tmp_path / "plugin" / digest / "file").write_text("x")
        made.want(BlobKind.PLUGIN, digest)
        assert made.state(BlobKind.PLUGIN, digest).ready
    yield made
    made.close()


def report(clock, **use) -> DiskReport:
    now = clock.wall_s()
    items = [
        CacheItem(kind="plugin", digest=digest, size_bytes=100, used_s=now - 1000 * age)
        for digest, age in ((A, 3), (B, 2), (C, 1))
    ]
    return DiskReport(use=DiskUse(**use), cached=tuple(items), needed=(A,))


def test_what_is_used_stays_and_what_goes_can_be_fetched_again(cache, clock, tmp_path):
    keeper = DiskKeeper(cache, CacheRules(cache_bytes=1), clock)
    keeper.keep(report(clock), {B})
    assert sorted(path.name[0] for path in (tmp_path / "plugin").iterdir() if path.name[0] != ".") == ["a", "b"]
    wait_until(lambda: not list((tmp_path / "plugin").glob(".gone-*")), 10, "what went to be gone")
    cache.want(BlobKind.PLUGIN, C)
    assert not cache.state(BlobKind.PLUGIN, C).ready
    assert [read.digest for read in cache.reads()] == [C]
    keeper.keep(report(clock), {B})  # on its way: not dropped
    assert [state.error for state in [cache.state(BlobKind.PLUGIN, C)]] == [""]
    keeper.take(report(clock))
    use = keeper.filling(Load)().use
    assert use is not None
    assert [(one.kind, one.name) for one in use.deletions] == [("plugin", C[:12])]
    assert use.deletions[0].reason


def test_news_of_the_disk_are_told_once_and_again_after_a_while(cache, clock):
    keeper = DiskKeeper(cache, CacheRules(), clock)
    measure = keeper.filling(lambda: Load(load1=1.5))
    assert measure() == Load(load1=1.5)
    keeper.take(report(clock, measured_s=1.0, spool_bytes=5))
    assert measure().use == DiskUse(measured_s=1.0, spool_bytes=5)
    keeper.take(report(clock, measured_s=2.0, spool_bytes=5))
    assert measure().use is None
    keeper.take(report(clock, measured_s=3.0, spool_bytes=6))
    assert measure().use == DiskUse(measured_s=3.0, spool_bytes=6)
    clock.advance(REPEAT_S + 1)
    assert measure().use == DiskUse(measured_s=3.0, spool_bytes=6)


def test_a_full_disk_is_a_blob_that_cannot_be_had(cache, clock, tmp_path, monkeypatch):
    (tmp_path / ("d" * 64 + ".partial")).mkdir()
    cache.want(BlobKind.PLUGIN, Digest("d" * 64))
    assert "cannot be fetched" in cache.state(BlobKind.PLUGIN, Digest("d" * 64)).error


def test_a_minion_that_keeps_more_than_it_may_is_not_well(cache, clock):
    keeper = DiskKeeper(cache, CacheRules(total_bytes=1024), clock)
    assert keeper.reasons() == ()
    keeper.take(report(clock, workspaces_bytes=1024))
    assert keeper.reasons() == ()
    keeper.take(report(clock, workspaces_bytes=1024, spool_bytes=1024))
    (reason,) = keeper.reasons()
    assert (reason.source, reason.text) == ("quota", "disk quota: 2 KiB used, 1 KiB allowed")
