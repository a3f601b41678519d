"""Seeded randomness, a stream of its own for each purpose: taking a fault away leaves the rest as it was."""

from __future__ import annotations

import random  # noqa: TID251  a history's randomness comes from its seed, and from here only
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """One stream of random choices.

    Args:
        seed: of the history.
        purpose: names the stream.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = random.Random(f"{seed}/{purpose}")  # noqa: S311  it guards nothing

    def between(self, low: float, high: float) -> float:
        """Return a number."""
        return low + (high - low) * self._random.random()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number; both ends may come."""
        return self._random.randint(low, high)

    def happens(self, share: float) -> bool:
        """Return whether something happens that does so in this share of cases."""
        return share > 0 and self._random.random() < share

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of several."""
        return choices[int(self._random.random() * len(choices))]
