"""The contract of every store: an ordered key-value store with checked commits and range reads.

Nothing in it is peculiar to LMDB, so that etcd can stand behind it later. Keys and values are bytes; keys are compared
byte by byte, 1 to 511 bytes long. A commit is all or nothing and durable when it returns. Reads see committed data
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cicd.errors import CicdError, ConflictError, UnavailableError

SCHEMA_VERSION = 1
"""Of the records; kept under a key of its own. A store of another version is refused."""

MAX_KEY_BYTES = 511


class PreconditionFailedError(ConflictError):
    """A precondition did not hold; nothing was written."""

    code = "precondition"

    def __init__(self, key: bytes) -> None:
        super().__init__(f"precondition failed on key {key!r}")
        self.key = key


class StoreFullError(UnavailableError):
    """There is no room; nothing was written. The same commit may succeed later."""

    code = "store_full"


class StoreBrokenError(UnavailableError):
    """The store cannot go on in this process (a failed write of its meta page): exit and start again.

    Who asked for something meanwhile may ask again: the next process has a store that goes on.
    """

    code = "store_broken"


class SchemaError(CicdError):
    """The store was written by a version whose schema this one does not know."""

    code = "schema"


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must be so for a commit to happen: `key` holds `value`; None: there is no such key."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Write:
    """Put `value` under `key`; None: delete the key (no error if it is not there)."""

    key: bytes
    value: bytes | None


class Snapshot(Protocol):
    """A consistent view. Valid inside its `with` block, on the thread that made it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, or None."""
        ...

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Return the pairs with start <= key < end by key (`reverse`: from the end), at most `limit`."""
        ...


class Storage(Protocol):
    """A store. Reads may come from any thread; commits from one thread at a time."""

    def commit(self, preconditions: Sequence[Precondition], writes: Sequence[Write]) -> None:
        """Check, then write all, durable on return. Of several writes to one key the last counts.

        Raises:
            PreconditionFailedError: one did not hold.
            StoreFullError: no room; retry the same commit later.
            StoreBrokenError: end the process.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view."""
        ...

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key, or None."""
        ...

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """As `Snapshot.range`, in a view of its own."""
        ...

    def close(self) -> None:
        """Close. Calling it again does nothing."""
        ...


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all keys that start with `prefix` (not empty, not all 0xff)."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
