"""Any history of commits, reads and views: every store does what a dict does."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cicd.storage import keys
from cicd.storage.base import Precondition, PreconditionFailedError, Snapshot, Storage, Write
from cicd.storage.lmdb import LmdbStorage
from cicd.storage.memory import MemoryStorage

KEYS = st.binary(min_size=1, max_size=3) | st.sampled_from([b"a", b"ab", b"b", b"b\0", b"b\xff", b"k" * 511])
VALUES = st.none() | st.sampled_from([b"", b"1", b"2", b"large" * 2000])
BOUNDS = st.binary(max_size=3) | KEYS
LIMITS = st.none() | st.integers(0, 5)

Model = dict[bytes, bytes]


def expected(model: Model, start: bytes, end: bytes, limit: int | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
    return sorted(((key, value) for key, value in model.items() if start <= key < end), reverse=reverse)[:limit]


class StorageMachine(RuleBasedStateMachine):
    """Commits come from one thread of their own, reads and views from hypothesis's."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.writer = self.stack.enter_context(ThreadPoolExecutor(1))
        self.store = self.open()
        self.stack.callback(self.store.close)
        self.model: Model = {keys.SCHEMA: b"1"}
        self.views: list[tuple[ExitStack, Snapshot, Model]] = []

    def open(self) -> Storage:
        return MemoryStorage()

    @rule(wanted=st.dictionaries(KEYS, VALUES, max_size=2), writes=st.lists(st.builds(Write, KEYS, VALUES), max_size=6))
    def commit(self, wanted: dict[bytes, bytes | None], writes: list[Write]) -> None:
        self.check_commit([Precondition(key, value) for key, value in wanted.items()], writes)

    @rule(data=st.data(), writes=st.lists(st.builds(Write, KEYS, VALUES), max_size=6))
    def commit_over_what_is_there(self, data: st.DataObject, writes: list[Write]) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        self.check_commit([Precondition(key, self.model[key])], writes)

    def check_commit(self, preconditions: list[Precondition], writes: list[Write]) -> None:
        holds = all(self.model.get(one.key) == one.value for one in preconditions)
        done = self.writer.submit(self.store.commit, preconditions, writes)
        assert isinstance(done.exception(10), PreconditionFailedError) is not holds
        if holds:
            done.result()
            for write in writes:
                if write.value is None:
                    self.model.pop(write.key, None)
                else:
                    self.model[write.key] = write.value

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(start=BOUNDS, end=BOUNDS, limit=LIMITS, reverse=st.booleans())
    def range(self, start: bytes, end: bytes, limit: int | None, reverse: bool) -> None:  # noqa: FBT001  drawn
        found = self.store.range(start, end, limit=limit, reverse=reverse)
        assert found == expected(self.model, start, end, limit, reverse=reverse)

    @precondition(lambda self: len(self.views) < 3)
    @rule()
    def open_view(self) -> None:
        stack = ExitStack()
        self.views.append((stack, stack.enter_context(self.store.snapshot()), dict(self.model)))

    @precondition(lambda self: self.views)
    @rule(data=st.data(), start=BOUNDS, end=BOUNDS, limit=LIMITS, reverse=st.booleans())
    def read_view(
        self,
        data: st.DataObject,
        start: bytes,
        end: bytes,
        limit: int | None,
        reverse: bool,  # noqa: FBT001  drawn
    ) -> None:
        _, view, model = data.draw(st.sampled_from(self.views))
        assert view.range(start, end, limit=limit, reverse=reverse) == expected(
            model, start, end, limit, reverse=reverse
        )

    @precondition(lambda self: self.views)
    @rule()
    def close_view(self) -> None:
        stack, _, _ = self.views.pop(0)
        stack.close()

    @invariant()
    def same_as_the_model(self) -> None:
        assert self.store.range(b"", b"\xff" * 512) == sorted(self.model.items())

    def teardown(self) -> None:
        for stack, _, _ in self.views:
            stack.close()
        self.stack.close()


class LmdbMachine(StorageMachine):
    """The same on LMDB, which also must keep everything when it is opened again."""

    def open(self) -> Storage:
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        return LmdbStorage(self.folder / "store")

    @precondition(lambda self: not self.views)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.writer.shutdown()
        self.writer = self.stack.enter_context(ThreadPoolExecutor(1))
        self.store = LmdbStorage(self.folder / "store")
        self.stack.callback(self.store.close)


FEW = settings(max_examples=50, stateful_step_count=25, deadline=None)

TestMemory = StorageMachine.TestCase
TestMemory.settings = FEW
TestLmdb = LmdbMachine.TestCase
TestLmdb.settings = FEW
