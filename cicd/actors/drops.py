"""Drops: what the master's sockets and actors dropped or denied since the start, so that people can see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cicd.transport.base import Listener


def is_news(count: int) -> bool:
    """Return whether the `count`-th frame of a kind is worth a line in the log: 1, 2, 4, 8, ... or peers fill disks."""
    return count & (count - 1) == 0


class Drops:
    """Counters by socket; each is written by one actor, all are read by any thread.

    Args:
        listeners: by the socket's name.

    Attributes:
        of: for each socket what its actor counts, by reason.
    """

    def __init__(self, listeners: Mapping[str, Listener]) -> None:
        self._listeners = dict(listeners)
        self.of: dict[str, Counter[str]] = {name: Counter() for name in listeners}

    def totals(self) -> dict[str, int]:
        """Return `<socket>.<reason>` and how often, the socket loops' own counts among them."""
        found: dict[str, int] = {}
        for name, listener in self._listeners.items():
            counters = listener.counters
            counts = {
                "multipart": counters.dropped_multipart,
                "slow": counters.dropped_slow,
                "gone": counters.dropped_gone,
                "denied": counters.denied,
                **{reason.removeprefix("dropped_"): number for reason, number in dict(counters.extra).items()},
                **dict(self.of[name]),
            }
            found |= {f"{name}.{reason}": number for reason, number in counts.items()}
        return found
