"""Calls about the master itself, and what answers them."""

from cicd.messages.base import PROTOCOL_VERSION, Wire


class Status(Wire, frozen=True):
    """-> StatusAnswer. Is the master there, and what is it?"""


class StatusAnswer(Wire, frozen=True):
    """The master is there."""

    version: str
    operator: str
    started_s: float
    protocol: int = PROTOCOL_VERSION
    data_dir: str = ""
    endpoints: dict[str, str] = {}
    """`control`, `bulk`, `client`, `enrol`, `tap` (when on): where it listens."""
    dropped: dict[str, int] = {}
    """What was dropped or denied since it started: `<socket>.<reason>` and how often."""
