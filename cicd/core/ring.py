"""Round robin over the minions that can take a job now.

Every minion has a place in the ring that it keeps when it leaves and comes back. The hand points behind the minion
that was served last; the next job goes to the first open minion from there that offers what the job requires. Only open
minions (ready, not suspended, with a free slot) are held, sorted, so that a choice among 10,000 costs a bisection.
"""

from bisect import bisect_right, insort
from collections.abc import Callable


class Ring:
    """Open places, sorted, and the hand."""

    def __init__(self) -> None:
        self._open: list[int] = []
        self._members: set[int] = set()
        self._hand = -1

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, place: int) -> bool:
        return place in self._members

    def open(self, place: int) -> None:
        """Let a place take part. Again: nothing."""
        if place not in self._members:
            self._members.add(place)
            insort(self._open, place)

    def close(self, place: int) -> None:
        """Take a place out; the hand stays. Again: nothing."""
        if place in self._members:
            self._members.remove(place)
            self._open.pop(bisect_right(self._open, place) - 1)

    def next(self, suits: Callable[[int], bool]) -> int | None:
        """Return the next open place that suits and move the hand there; None: there is none."""
        start = bisect_right(self._open, self._hand)
        for offset in range(len(self._open)):
            place = self._open[(start + offset) % len(self._open)]
            if suits(place):
                self._hand = place
                return place
        return None
