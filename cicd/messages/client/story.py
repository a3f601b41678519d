"""Why a run went as it did: what the records of the run do not say, from the journal of the master's decisions."""

from enum import StrEnum

from cicd.messages.base import Message, Wire


class ExplainRun(Wire, frozen=True):
    """stream of StoryLines, by time. `run`: as in `ShowRun`; `job`: only what concerns this job; empty: every job."""

    run: str
    job: str = ""


class StoryKind(StrEnum):
    """What a line is about. A text in messages, so that an older peer can read what a newer one says."""

    WAITS = "waits"
    """Why a job waited from then on."""
    DOUBT = "doubt"
    """What was doubtful about a job that a minion had."""
    CHOSEN = "chosen"
    """Why an attempt was given to this minion."""
    QUEUED = "queued"
    """A job that had been given to a minion is queued again."""
    PERSON = "person"
    """What somebody did."""
    MASTER = "master"
    """What happened to the master."""
    NOW = "now"
    """What a job waits for at this moment."""
    NOTE = "note"
    """What cannot be told, and why."""


class StoryLine(Message, frozen=True):
    """Something that happened.

    Attributes:
        at_s: wall time of the master.
        job: name of the job; empty: it concerns the run.
        attempt: of the job; 0: none.
        kind: a `StoryKind`.
    """

    at_s: float
    text: str
    kind: str
    job: str = ""
    attempt: int = 0


class StoryLines(Wire, frozen=True):
    """Some of the story; `last`: the rest of it."""

    lines: tuple[StoryLine, ...] = ()
    last: bool = False
