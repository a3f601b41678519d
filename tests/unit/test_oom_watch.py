"""Kills for memory are counted where they belong, each for one attempt."""

import pytest

from cicd.plugins.oom_watch import OomSource, OomWatch, disk_free_bytes, find_source

MEMINFO = "MemTotal:        2048 kB\nMemFree: 1 kB\n"


def tree(root, **files):
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V1 = {
    "proc__self__cgroup": "4:memory:/a/b\n0::/\n",
    "sys__fs__cgroup__memory__a__b__memory_DOT_oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "proc__meminfo": MEMINFO,
}
V2 = {
    "proc__self__cgroup": "0::/minion.service\n",
    "sys__fs__cgroup__minion_DOT_service__memory_DOT_events": "oom 5\noom_kill 4\noom_group_kill 0\n",
    "proc__meminfo": MEMINFO,
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (V1 | {"sys__fs__cgroup__memory__a__b__memory_DOT_limit_in_bytes": "4096"}, ("cgroup", 3, 4096)),
        (V1 | {"sys__fs__cgroup__memory__a__b__memory_DOT_limit_in_bytes": str(2**63)}, ("cgroup", 3, 2 << 20)),
        (V2 | {"sys__fs__cgroup__minion_DOT_service__memory_DOT_max": "max"}, ("cgroup", 4, 2 << 20)),
        (V2 | {"sys__fs__cgroup__minion_DOT_service__memory_DOT_max": "5000"}, ("cgroup", 4, 5000)),
        ({"proc__vmstat": "nr_x 1\noom_kill 9\n"}, ("machine", 9, 0)),
    ],
)
def test_where_kills_are_counted(tmp_path, files, expected):
    source = find_source(tree(tmp_path, **files))
    assert source is not None
    assert (source.scope, source.read(), source.memory_bytes) == expected


def test_nowhere(tmp_path):
    watch = OomWatch(find_source(tree(tmp_path, proc__vmstat="nr_x 1\n")))
    assert (watch.scope, watch.memory_bytes, watch.open_kills(), watch.since(0)) == ("", 0, 0, None)


def test_a_kill_counts_for_one_attempt():
    count = [5]
    watch = OomWatch(OomSource("machine", lambda: count[0], 1))
    first, second = watch.open_kills(), watch.open_kills()
    count[0] += 1
    assert watch.since(first) == 1
    watch.claim(1)
    assert watch.since(second) == 0
    third = watch.open_kills()
    count[0] += 2
    assert watch.since(third) == 2
    assert watch.since(second) == 2


def test_a_kill_of_something_else_before_counts_for_nobody_later():
    count = [0]
    watch = OomWatch(OomSource("machine", lambda: count[0], 1))
    count[0] = 3
    assert watch.since(watch.open_kills()) == 0


def test_a_count_that_cannot_be_read_any_more_is_not_known():
    fails = [False]

    def read():
        if fails[0]:
            raise OSError
        return 0

    watch = OomWatch(OomSource("machine", read, 1))
    fails[0] = True
    assert watch.since(0) is None


def test_free_space(tmp_path):
    assert disk_free_bytes(tmp_path) > 0
    assert disk_free_bytes(tmp_path / "no" / "more") > 0
