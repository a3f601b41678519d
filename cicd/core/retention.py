"""What is kept on disks and for how long: which rule removes what, and why. Pure; times are wall time in seconds.

Nothing here removes anything. 0 in a rule means: for ever, without limit.
"""

from collections.abc import Collection, Sequence

import msgspec

from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.messages.base import Digest
from cicd.messages.disk import TOP, AttemptDisk, PipelineDisk
from cicd.messages.jobhost import CacheItem
from cicd.messages.run import RunRecord

DAY_S = 86_400.0
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024.0


class CacheRules(msgspec.Struct, frozen=True, kw_only=True):
    """Of a minion's cache of plugins and source trees.

    Attributes:
        cache_bytes: the whole cache.
        cache_age_s: since an item was last asked for.
        total_bytes: everything that the minion keeps; the cache gives way first.
        fresh_s: what was asked for more lately is never dropped: an attempt may be about to begin with it.
    """

    cache_bytes: int = 0
    cache_age_s: float = 0.0
    total_bytes: int = 0
    fresh_s: float = 600.0


class RunRules(msgspec.Struct, frozen=True, kw_only=True):
    """Of the master.

    Attributes:
        runs_keep: newest runs of each pipeline that stay.
        runs_age_s: since a run ended.
        logs_age_s: since a log's run ended.
    """

    runs_keep: int = 0
    runs_age_s: float = 0.0
    logs_age_s: float = 0.0


def cache_to_drop(
    items: Sequence[CacheItem], needed: Collection[Digest], total_bytes: int, now_s: float, rules: CacheRules
) -> list[tuple[CacheItem, str]]:
    """Return what of a cache goes, with the rule: too old, else used longest ago, until the rest is small enough.

    Args:
        items: what is in the cache.
        needed: what attempts or loaded pipelines use: never dropped.
        total_bytes: everything that the minion keeps, the cache among it.
        now_s: the time.
        rules: limits.
    """
    dropped: list[tuple[CacheItem, str]] = []
    cache_bytes = sum(item.size_bytes for item in items)
    for item in sorted(items, key=lambda one: one.used_s):
        idle_s = now_s - item.used_s
        if item.digest in needed or idle_s < rules.fresh_s:
            continue
        if rules.cache_age_s and idle_s >= rules.cache_age_s:
            why = f"not used for {age(idle_s)}; {age(rules.cache_age_s)} are kept"
        elif rules.cache_bytes and cache_bytes > rules.cache_bytes:
            why = f"used longest ago in a cache of {size(cache_bytes)}; {size(rules.cache_bytes)} are kept"
        elif rules.total_bytes and total_bytes > rules.total_bytes:
            why = f"used longest ago on a minion that keeps {size(total_bytes)}; {size(rules.total_bytes)} are allowed"
        else:
            continue
        dropped.append((item, why))
        cache_bytes -= item.size_bytes
        total_bytes -= item.size_bytes
    return dropped


def over_quota(used_bytes: int, allowed_bytes: int) -> str:
    """Return what is said of an attempt whose folder is too large; empty: it is not."""
    if not allowed_bytes or used_bytes <= allowed_bytes:
        return ""
    return f"disk quota: {size(used_bytes)} used, {size(allowed_bytes)} allowed"


def run_expired(run: RunRecord, newest_number: int, now_s: float, rules: RunRules) -> str:
    """Return by which rule a run goes; empty: it stays. An active run, and the newest of its pipeline, always stay.

    Args:
        run: the run.
        newest_number: number of the newest run of its pipeline; 0: there is no such pipeline any more.
        now_s: the time.
        rules: limits.
    """
    if run.state not in TERMINAL_RUNS or run.number == newest_number:
        return ""
    if rules.runs_keep and newest_number and run.number <= newest_number - rules.runs_keep:
        return f"older than the newest {rules.runs_keep} runs of {run.pipeline_name}"
    if rules.runs_age_s and now_s - run.finished_s >= rules.runs_age_s:
        return f"ended {age(now_s - run.finished_s)} ago; {age(rules.runs_age_s)} are kept"
    return ""


def logs_expired(run: RunRecord, now_s: float, rules: RunRules) -> str:
    """Return by which rule the logs of a run go; empty: they stay."""
    if run.state not in TERMINAL_RUNS or not rules.logs_age_s or now_s - run.finished_s < rules.logs_age_s:
        return ""
    return f"its run ended {age(now_s - run.finished_s)} ago; logs are kept for {age(rules.logs_age_s)}"


def unused_expired(idle_s: float, allowed_s: float) -> str:
    """Return by which rule something goes that nothing uses; empty: it stays."""
    if not allowed_s or idle_s < allowed_s:
        return ""
    return f"not in use for {age(idle_s)}; {age(allowed_s)} are kept"


def largest(folders: Sequence[AttemptDisk]) -> tuple[tuple[AttemptDisk, ...], tuple[PipelineDisk, ...]]:
    """Return the largest attempts' folders, and the pipelines with the largest ones together."""
    count: dict[str, int] = {}
    total: dict[str, int] = {}
    for folder in folders:
        count[folder.pipeline] = count.get(folder.pipeline, 0) + 1
        total[folder.pipeline] = total.get(folder.pipeline, 0) + folder.size_bytes
    pipelines = [PipelineDisk(pipeline=name, folders=count[name], size_bytes=total[name]) for name in count]
    pipelines.sort(key=lambda one: (-one.size_bytes, one.pipeline))
    attempts = sorted(folders, key=lambda one: (-one.size_bytes, one.job, one.attempt))
    return tuple(attempts[:TOP]), tuple(pipelines[:TOP])


def size(number: int) -> str:
    """Return bytes for people: 5 GiB, 5.1 GiB."""
    value, unit = float(number), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.1f}".removesuffix(".0") + f" {_UNITS[unit]}"


def age(seconds: float) -> str:
    """Return a duration for people, in one unit: 90 days, 12 h, 30 s."""
    for length, name in ((DAY_S, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length or (seconds >= length and name != "days"):
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {name}"
    return f"{seconds:.0f} s"
