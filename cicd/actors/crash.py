"""What happens when an actor or a socket loop fails: the process ends at once, saying why.

pykka has no supervision: an actor whose `tell` raised is gone for good, and the rest would go on without it. Half a
master is worse than none, and starting again is an ordinary, tested path.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

EXIT_CRASHED = 70
"""Exit code of a process that ended because a part of it failed (EX_SOFTWARE)."""

Die = Callable[[str, BaseException | None], None]
"""Called with what failed and why; does not return in a real process."""


def die(what: str, error: BaseException | None) -> None:
    """Say what failed, with its traceback, and end the process."""
    try:
        log.critical("process.crashed", part=what, error=f"{type(error).__name__}: {error}")
        if error is not None:
            traceback.print_exception(error)
        sys.stderr.flush()
        sys.stdout.flush()
    finally:
        os._exit(EXIT_CRASHED)


def last_words(part: str, die_: Die, exception: BaseException | None, trace: TracebackType | None) -> None:
    """Hand an actor's failure over, with its traceback attached."""
    if exception is not None and trace is not None:
        exception = exception.with_traceback(trace)
    die_(part, exception)
