"""The contract that every store keeps."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cicd.storage import keys
from cicd.storage.base import MAX_KEY_BYTES, Precondition, PreconditionFailedError, Storage, Write, prefix_end
from cicd.storage.lmdb import LmdbStorage
from cicd.storage.memory import MemoryStorage

ALL = (b"", b"\xff")
SCHEMA = (keys.SCHEMA, b"1")


def put(*pairs: tuple[bytes, bytes]) -> list[Write]:
    return [Write(key, value) for key, value in pairs]


def memory(folder: Path) -> Storage:
    return MemoryStorage()


@pytest.fixture(params=[memory, LmdbStorage], ids=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened: Storage = request.param(tmp_path / "store")
    yield opened
    opened.close()


def elsewhere(call: Callable[[], object]) -> object:
    """Call on another thread; return or raise what it does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(10)


def test_a_new_store_holds_its_schema_only(store: Storage) -> None:
    assert store.range(*ALL) == [SCHEMA]


def test_what_was_committed_can_be_read(store: Storage) -> None:
    store.commit([], put((b"a", b"1"), (b"b", b"")))
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (b"1", b"", None)
    store.commit([], [Write(b"a", None), Write(b"never", None), Write(b"b", b"2")])
    assert (store.get(b"a"), store.get(b"b")) == (None, b"2")


def test_the_last_of_several_writes_to_a_key_counts(store: Storage) -> None:
    store.commit([], [Write(b"a", b"1"), Write(b"a", None), Write(b"b", None), Write(b"b", b"2")])
    assert store.range(b"a", b"c") == [(b"b", b"2")]


def test_a_commit_whose_preconditions_hold_is_done(store: Storage) -> None:
    store.commit([Precondition(b"a", None)], put((b"a", b"1")))
    store.commit([Precondition(b"a", b"1"), Precondition(b"b", None)], put((b"a", b"2")))
    assert store.get(b"a") == b"2"


@pytest.mark.parametrize("wrong", [Precondition(b"a", None), Precondition(b"a", b"2"), Precondition(b"b", b"")])
def test_a_commit_with_a_failed_precondition_writes_nothing(store: Storage, wrong: Precondition) -> None:
    store.commit([], put((b"a", b"1")))
    with pytest.raises(PreconditionFailedError) as caught:
        store.commit([Precondition(b"a", b"1"), wrong], [Write(b"a", None), Write(b"c", b"3")])
    assert caught.value.key == wrong.key
    assert store.range(b"a", b"d") == [(b"a", b"1")]


def test_preconditions_are_about_the_state_before_the_commit(store: Storage) -> None:
    with pytest.raises(PreconditionFailedError):
        store.commit([Precondition(b"a", b"1")], put((b"a", b"1")))


@pytest.mark.parametrize("key", [b"", b"k" * (MAX_KEY_BYTES + 1)])
def test_keys_that_are_too_short_or_too_long_are_refused(store: Storage, key: bytes) -> None:
    with pytest.raises(ValueError, match="a key has 1 to 511 bytes"):
        store.commit([], [Write(b"a", b"1"), Write(key, b"1")])
    with pytest.raises(ValueError, match="a key has"):
        store.commit([Precondition(key, None)], put((b"a", b"1")))
    with pytest.raises(ValueError, match="a key has"):
        store.get(key)
    assert store.range(*ALL) == [SCHEMA]


def test_the_longest_key_is_taken(store: Storage) -> None:
    longest = b"k" * MAX_KEY_BYTES
    store.commit([Precondition(longest, None)], put((longest, b"1")))
    assert store.get(longest) == b"1"


def test_a_large_value_is_kept_whole(store: Storage) -> None:
    store.commit([], put((b"a", b"v" * 1_000_000)))
    assert store.get(b"a") == b"v" * 1_000_000


PAIRS = [(b"a", b"1"), (b"b", b"2"), (b"b\0", b"3"), (b"c", b"4"), (b"c\xff", b"5")]


@pytest.mark.parametrize(
    ("start", "end", "limit", "found"),
    [
        (b"a", b"d", None, PAIRS),
        (b"", b"d", None, PAIRS),
        (b"b", b"c", None, PAIRS[1:3]),
        (b"a\0", b"b\0", None, PAIRS[1:2]),
        (b"a", b"d", 2, PAIRS[:2]),
        (b"a", b"d", 0, []),
        (b"a", b"d", 99, PAIRS),
        (b"d", b"e", None, []),
        (b"b", b"b", None, []),
        (b"c", b"a", None, []),
        (b"", b"", None, []),
        (b"c" * 600, b"d", None, PAIRS[4:]),
        (b"b", b"b" * 600, None, PAIRS[1:3]),
    ],
)
def test_a_range_is_sorted_bounded_and_half_open(
    store: Storage, start: bytes, end: bytes, limit: int | None, found: list[tuple[bytes, bytes]]
) -> None:
    store.commit([], put(*reversed(PAIRS)))
    assert store.range(start, end, limit=limit) == found
    backward = sorted(store.range(start, end), reverse=True)[:limit]
    assert store.range(start, end, limit=limit, reverse=True) == backward


def test_a_reverse_range_up_to_the_end_of_the_store_begins_with_its_last_key(store: Storage) -> None:
    store.commit([], put((b"y", b"1"), (b"z", b"2")))
    assert store.range(b"y", prefix_end(b"z"), limit=1, reverse=True) == [(b"z", b"2")]


def test_a_negative_limit_is_refused(store: Storage) -> None:
    with pytest.raises(ValueError, match="limit"):
        store.range(*ALL, limit=-1)


def test_a_view_stays_as_it_was_while_another_thread_commits(store: Storage) -> None:
    with ThreadPoolExecutor(1) as writer:
        writer.submit(store.commit, [], put((b"a", b"1"), (b"b", b"2"))).result(10)
        with store.snapshot() as old:
            writer.submit(store.commit, [], [Write(b"a", b"9"), Write(b"b", None), Write(b"c", b"3")]).result(10)
            with store.snapshot() as new:
                assert old.get(b"a") == b"1"
                assert old.range(b"a", b"d") == [(b"a", b"1"), (b"b", b"2")]
                assert new.range(b"a", b"d") == [(b"a", b"9"), (b"c", b"3")]
                assert store.get(b"a") == b"9"
            assert old.range(b"a", b"d", reverse=True) == [(b"b", b"2"), (b"a", b"1")]


def test_no_reader_ever_sees_half_a_commit(store: Storage) -> None:
    """Every commit writes one number under all keys; a view that sees two numbers is torn."""
    names = [b"k%d" % n for n in range(20)]
    done = threading.Event()

    def read() -> int:
        views = 0
        while not done.is_set():
            with store.snapshot() as view:
                half = {view.get(name) for name in names[::2]}
                assert len(half | {value for _, value in view.range(b"k", b"l")}) <= 1
            views += 1
        return views

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for n in range(200):
                store.commit([], put(*((name, b"%d" % n) for name in names)))
        finally:
            done.set()
        assert all(reader.result(10) for reader in readers)


def test_a_view_belongs_to_its_thread_and_its_block(store: Storage) -> None:
    with store.snapshot() as view:
        with pytest.raises(RuntimeError, match="thread"):
            elsewhere(lambda: view.get(b"a"))
        with pytest.raises(RuntimeError, match="thread"):
            elsewhere(lambda: view.range(*ALL))
    with pytest.raises(RuntimeError, match="ended"):
        view.get(b"a")
    with pytest.raises(RuntimeError, match="ended"):
        view.range(*ALL)


def test_views_may_end_in_any_order(store: Storage) -> None:
    first, second = store.snapshot(), store.snapshot()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    store.commit([], put((b"a", b"1")))


def test_an_error_inside_a_view_comes_out_unchanged(store: Storage) -> None:
    with pytest.raises(ZeroDivisionError), store.snapshot():
        _ = 1 // 0
    store.commit([], put((b"a", b"1")))


def test_commits_belong_to_the_thread_of_the_first(store: Storage) -> None:
    store.commit([], put((b"a", b"1")))
    with pytest.raises(RuntimeError, match="one thread"):
        elsewhere(lambda: store.commit([], put((b"a", b"2"))))
    assert elsewhere(lambda: store.get(b"a")) == b"1"


def test_a_commit_inside_a_view_of_its_own_thread_is_refused(store: Storage) -> None:
    with store.snapshot(), store.snapshot(), pytest.raises(RuntimeError, match="inside a view"):
        store.commit([], put((b"a", b"1")))
    store.commit([], put((b"a", b"1")))


def test_a_closed_store_refuses_everything_but_to_be_closed_again(store: Storage) -> None:
    elsewhere(store.close)
    store.close()
    for call in (lambda: store.get(b"a"), lambda: store.range(*ALL), lambda: store.commit([], put((b"a", b"1")))):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_memory_fails_once_for_each_error_it_was_given() -> None:
    store = MemoryStorage()
    store.fail_next(KeyError())
    store.fail_next(OSError())
    with pytest.raises(KeyError):
        store.commit([], put((b"a", b"1")))
    with pytest.raises(OSError):  # noqa: PT011  the very error that was asked for
        store.commit([], put((b"a", b"1")))
    assert store.get(b"a") is None
    store.commit([], put((b"a", b"1")))
    assert store.get(b"a") == b"1"


def test_memory_can_be_reopened_by_a_new_writer() -> None:
    store = MemoryStorage()
    elsewhere(lambda: store.commit([], put((b"a", b"1"))))
    store.close()
    store.reopen()
    store.commit([Precondition(b"a", b"1")], put((b"b", b"2")))
    assert store.get(b"b") == b"2"
