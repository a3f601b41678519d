"""Reading logs."""

from cicd.messages.base import Wire


class ReadLog(Wire, frozen=True):
    """stream of LogText of one job's attempt (0: the newest), then a LogEndInfo. `follow`: until it is whole."""

    run: str
    job: str
    attempt: int = 0
    follow: bool = False
    offset: int = 0


class LogText(Wire, frozen=True):
    """A piece of a log (at most 64 KiB) from `offset`."""

    offset: int
    data: bytes


class LogEndInfo(Wire, frozen=True):
    """Says whether the log is whole: `complete`, or why not in `gap`."""

    attempt: int
    size_bytes: int
    lines: int = 0
    sha256: str = ""
    complete: bool = False
    gap: str = ""
