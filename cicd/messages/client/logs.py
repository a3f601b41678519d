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
    """Says whether the log is whole: `complete`, or why not in `gap`.

    Attributes:
        size_bytes: what there is of it; what is missing begins there.
        expected_bytes: what there should be, as far as the attempt's result tells; 0: not known.
        expected_lines: the same in lines.
        since_s: wall time since when nothing more can have come; 0: it may still come.
    """

    attempt: int
    size_bytes: int
    lines: int = 0
    sha256: str = ""
    complete: bool = False
    gap: str = ""
    expected_bytes: int = 0
    expected_lines: int = 0
    since_s: float = 0.0
