"""The only place that makes ids: global, and sorted by the time they were made.

An id is 26 characters of Crockford's base 32 in lower case: 48 bits of milliseconds since the epoch, then 80 random
bits. Two ids from one source in the same millisecond still sort in the order in which they were made: the random
part is counted up. Source: https://github.com/ulid/spec
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from cicd.clock import Clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
_LENGTH = 26


class IdSource:
    """Makes ids from a clock and a source of randomness; safe to call from several threads.

    Args:
        clock: gives the wall time.
        random_bytes: returns n random bytes.
    """

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._last = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        """Return an id that is greater than every id this source returned before."""
        with self._lock:
            milliseconds = int(self._clock.wall_s() * 1000)
            value = (milliseconds << _RANDOM_BITS) | int.from_bytes(self._random_bytes(_RANDOM_BITS // 8), "big")
            if value >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
                value = self._last + 1
            self._last = value
        return encode(value)


def encode(value: int) -> str:
    """Return a 128-bit number as 26 characters that sort like the number."""
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range((_LENGTH - 1) * 5, -1, -5))
