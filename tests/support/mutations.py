"""Frames that a hostile peer might send: right ones, damaged in every way that we could think of. Seeded."""

from __future__ import annotations

import random  # noqa: TID251  seeded: the same in every run
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack

_NUMBERS = (0, 1, -1, 2, 127, 128, 255, 2**31, 2**32, 2**53, 2**63 - 1, 2**64 - 1, -(2**63))
_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "\0",
    "../../etc/passwd",
    "x" * 5000,
    "\u202e\x1b[2J",
    b"",
    b"\xff" * 300,
    0.0,
    -1e308,
    float("nan"),
    float("inf"),
    [],
    {},
    [[[[]]]] * 3,
    {"_": "Hello"},
    list(range(1000)),
    msgpack.ExtType(5, b"x"),
)


class Mutator:
    """Makes frames.

    Args:
        seed: the same gives the same frames.
        corpus: right frames, of all kinds.
    """

    def __init__(self, seed: int, corpus: Sequence[bytes]) -> None:
        self._dice = random.Random(seed)  # noqa: S311  no secret
        self._corpus = list(corpus)
        self._trees = [msgpack.unpackb(frame, strict_map_key=False) for frame in corpus]
        self._ways: tuple[Callable[[], bytes], ...] = (
            self._replay,
            self._flip,
            self._flip,
            self._cut,
            self._grow,
            self._splice,
            self._nest,
            self._field,
            self._field,
            self._field,
            self._number,
            self._kind,
            self._noise,
        )

    def frames(self, count: int) -> Iterator[bytes]:
        """Yield so many frames."""
        for _ in range(count):
            yield self._dice.choice(self._ways)()

    def _replay(self) -> bytes:
        return self._dice.choice(self._corpus)

    def _flip(self) -> bytes:
        frame = bytearray(self._replay())
        for _ in range(self._dice.randint(1, 8)):
            frame[self._dice.randrange(len(frame))] ^= 1 << self._dice.randrange(8)
        return bytes(frame)

    def _cut(self) -> bytes:
        frame = self._replay()
        return frame[: self._dice.randrange(len(frame))]

    def _grow(self) -> bytes:
        return self._replay() + self._dice.randbytes(self._dice.randint(1, 40))

    def _splice(self) -> bytes:
        one, other = self._replay(), self._replay()
        return one[: self._dice.randrange(len(one))] + other[self._dice.randrange(len(other)) :]

    def _nest(self) -> bytes:
        depth = self._dice.choice((10, 511, 512, 600, 2000, 20_000))
        inner = self._dice.choice((b"\xc0", self._replay(), b""))
        return self._dice.choice((b"\x91", b"\x81\xa1_", b"\xdd\xff\xff\xff\xff")) * depth + inner

    def _field(self) -> bytes:
        """A right frame with one field gone, doubled under another name, or of another type."""
        tree = dict(self._dice.choice(self._trees))
        name = self._dice.choice(list(tree))
        way = self._dice.randrange(4)
        if way == 0:
            del tree[name]
        elif way == 1:
            tree[f"{name}_"] = tree[name]
        elif way == 2:
            other = self._dice.choice(self._trees)
            tree[name] = other[self._dice.choice(list(other))]
        else:
            tree[name] = self._dice.choice(_VALUES)
        return bytes(msgpack.packb(tree))

    def _number(self) -> bytes:
        """A right frame of another session, attempt, offset or protocol."""
        tree = dict(self._dice.choice(self._trees))
        numbers = [name for name, value in tree.items() if isinstance(value, int)]
        for name in numbers:
            if self._dice.random() < 0.7:
                tree[name] = self._dice.choice((*_NUMBERS, tree[name] + 1, tree[name] - 1))
        return bytes(msgpack.packb(tree))

    def _kind(self) -> bytes:
        tree = dict(self._dice.choice(self._trees))
        tree["_"] = self._dice.choice(("", "Hello2", "__class__", "x" * 1000, 7, None, self._other_kind()))
        return bytes(msgpack.packb(tree))

    def _other_kind(self) -> object:
        return self._dice.choice(self._trees).get("_")

    def _noise(self) -> bytes:
        return self._dice.randbytes(self._dice.randint(0, 300))
