"""What the core wants done after a batch of events: first its saves, in one transaction; then the effects, in order."""

from dataclasses import dataclass, field

from cicd.core.events import Asker, Origin
from cicd.errors import CicdError
from cicd.messages.base import MinionId, PipelineId, RunId, Wire
from cicd.messages.cluster import MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import LastRun
from cicd.messages.run import AttemptRecord, JobRecord, RunRecord


@dataclass(frozen=True, slots=True)
class Bind:
    """From now on this connection speaks for the minion."""

    minion: MinionId
    origin: Origin
    name: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a minion, by the connection that is bound to it; if there is none it is dropped."""

    minion: MinionId
    message: Wire


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a message back on the connection it came by."""

    origin: Origin
    message: Wire


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a person's call with a record, or with the error."""

    asker: Asker
    result: RunRecord | MinionRecord | TokenRecord | CicdError


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for the log: how a minion stands now that stood otherwise."""

    minion: MinionId
    name: str
    state: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Admit:
    """From now on this key opens the work sockets, as the minion."""

    minion: MinionId
    key: str


@dataclass(frozen=True, slots=True)
class Expel:
    """That key opens nothing any more, and what it has opened is cut."""

    minion: MinionId
    key: str


@dataclass(frozen=True, slots=True)
class OpenToken:
    """From now on the key that is derived from this token opens what the token is for."""

    token: TokenRecord


@dataclass(frozen=True, slots=True)
class CloseToken:
    """The key that is derived from this token opens nothing any more."""

    token: TokenRecord


@dataclass(frozen=True, slots=True)
class AnswerJoiner:
    """Send a message back on the connection to the enrol socket that it came by."""

    origin: Origin
    message: Wire


Access = Admit | Expel | OpenToken | CloseToken | AnswerJoiner
"""Who may connect."""

Effect = Bind | Send | Answer | Reply | Notice | Access


@dataclass(slots=True)
class Plan:
    """Records by key (the last version of a batch counts), and effects in order.

    `forgotten_minions` are deleted before `minions` are written: one that changed its name is in both.
    """

    runs: dict[RunId, RunRecord] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    attempts: dict[tuple[str, int], AttemptRecord] = field(default_factory=dict)
    minions: dict[MinionId, MinionRecord] = field(default_factory=dict)
    forgotten_minions: dict[MinionId, MinionRecord] = field(default_factory=dict)
    last_runs: dict[PipelineId, LastRun] = field(default_factory=dict)
    requests: dict[str, RunId] = field(default_factory=dict)
    tokens: dict[str, TokenRecord] = field(default_factory=dict)
    removed_keys: dict[str, RemovedKey] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    @property
    def saves(self) -> bool:
        """Whether there is anything to store."""
        return bool(
            self.runs
            or self.jobs
            or self.attempts
            or self.minions
            or self.forgotten_minions
            or self.last_runs
            or self.tokens
            or self.removed_keys
        )
