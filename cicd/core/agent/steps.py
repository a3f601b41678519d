"""What the agent's core is told, and what it wants done.

Told: the events below, and every message of the master and of the jobhost as it is. Wanted: steps, in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cicd.messages.base import JobId, Wire
from cicd.messages.minion import RunJob

EXIT_OK = 0
EXIT_REFUSED = 3
"""The master will not have this minion: starting again would not help."""
EXIT_ENROL = 75
"""The master does not know this minion's key: another agent has to enrol it."""


class Link(StrEnum):
    """How the control connection is."""

    UP = "up"
    DOWN = "down"
    REFUSED = "refused"
    """The master's socket does not accept our key."""


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The control connection's state has changed."""

    link: Link
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BeatNow:
    """It is time for a heartbeat."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The Courier has (or could not get) what an attempt needs; `error` empty: it has."""

    job: JobId
    attempt: int
    plugin_dir: str
    source_dir: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ToMaster:
    """Send to the master. In a Hello or a Beat the shell fills in how the machine is."""

    message: Wire
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class ToHost:
    """Tell the jobhost."""

    message: Wire


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get an attempt's plugin and source; answer with `Fetched`."""

    run_job: RunJob


@dataclass(frozen=True, slots=True)
class Joined:
    """The master granted this session, and wants a heartbeat so often."""

    session: int
    heartbeat_s: float


@dataclass(frozen=True, slots=True)
class Leave:
    """End the agent: exit code and reason."""

    code: int
    why: str


class Level(StrEnum):
    """How much a note matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log."""

    level: Level
    event: str
    details: dict[str, object] = field(default_factory=dict)


Step = ToMaster | ToHost | Fetch | Joined | Leave | Note
