"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.05


def wait_until(condition: Callable[[], T], timeout_s: float = 10.0, what: str = "") -> T:
    """Call `condition` until it returns something true, and return that.

    The pause between two looks starts below a millisecond and doubles up to 50 ms: quick things are seen at once, slow
    ones cost no processor time.

    Args:
        condition: is called at least once, and once more after the deadline has passed.
        timeout_s: seconds until giving up.
        what: for the error's text: what was waited for.

    Raises:
        TimeoutError: it did not become true in time. The text holds the last value that `condition` returned.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        late = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        if late:
            name = what or getattr(condition, "__qualname__", repr(condition))
            raise TimeoutError(f"waited {timeout_s:g} s for {name}; last seen: {value!r}")
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
