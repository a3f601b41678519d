"""Control conversation between a minion's agent and the master (DEALER to ROUTER).

    minion                                   master
    Hello(session or 0, inventory)    ->
                                      <-     Welcome(session, lease)        or Refused
    Beat(session, seq, sent)          ->                                    each heartbeat
                                      <-     BeatAck(seq)                   lease valid from `sent`
                                      <-     RunJob(job, attempt)           again until seen; the minion dedupes
    JobStarted(job, attempt)          ->
    JobFinished(job, attempt, result) ->                                    again until acknowledged
                                      <-     ResultAck(job, attempt)
                                      <-     CancelJob(job, attempt)
                                      <-     BeatAck(leave)                 draining, and nothing is held: leave
    Goodbye(session, idle)            ->                                    the last word
                                      <-     Fenced(session)                kill all, say Hello with session 0

`session` counts a minion's incarnations; the master stores its floor. `attempt` is a job's fencing token. Either is
compared with `<`, never with `!=`. Times of the `_boot_s` kind are the sender's own CLOCK_BOOTTIME and mean nothing
elsewhere.
"""

from enum import StrEnum

from cicd.messages.base import PROTOCOL_VERSION, Digest, ErrorReply, JobId, Message, MinionId, RunId, Wire
from cicd.messages.cluster import HealthReason, Load
from cicd.messages.run import Result


class EntryState(StrEnum):
    """What a minion's journal says of an attempt."""

    RUNNING = "running"
    FINISHED = "finished"
    DEAD = "dead"
    """Started, never finished, and its processes are gone for certain."""


class Entry(Message, frozen=True):
    """An attempt that the minion's journal knows and the master has not acknowledged.

    Attributes:
        result: of one that has FINISHED; None there: too large for a list, it comes by itself as `JobFinished`.
    """

    job: JobId
    attempt: int
    state: EntryState
    result: Result | None = None


class Hello(Wire, frozen=True):
    """First message of a connection, and again after `Fenced`.

    Attributes:
        minion: made by the minion once and kept in its data folder.
        session: the session that its jobhost holds; 0: a jobhost that has none yet.
        inventory: every unacknowledged entry of its journal, running attempts among them.
        tags: interpreters and platforms it can run plugins for, such as `cp311-linux_x86_64`.
        capabilities: optional parts of the protocol that it knows, by name.
        health: why it is not well; empty: it is.
    """

    minion: MinionId
    name: str
    hostname: str
    version: str
    platform: str
    slots: int
    session: int = 0
    protocol: int = PROTOCOL_VERSION
    capabilities: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    python: str = ""
    inventory: tuple[Entry, ...] = ()
    sent_boot_s: float = 0.0
    load: Load = Load()
    health: tuple[HealthReason, ...] = ()


class Welcome(Wire, frozen=True):
    """The minion is in; `session` is what it speaks with from now on.

    The lease is valid for `lease_s` from the moment the Hello was sent (`sent_boot_s` comes back).
    """

    session: int
    lease_s: float
    heartbeat_s: float
    sent_boot_s: float
    protocol: int = PROTOCOL_VERSION
    capabilities: tuple[str, ...] = ()


class Refused(Wire, frozen=True):
    """The minion may not join; it says why and ends or tries again by `retryable`."""

    code: str
    text: str
    retryable: bool = False


class Beat(Wire, frozen=True):
    """A heartbeat.

    Attributes:
        health: why the minion is not well; empty: it is.
    """

    session: int
    seq: int
    sent_boot_s: float
    inventory: tuple[Entry, ...] = ()
    load: Load = Load()
    health: tuple[HealthReason, ...] = ()


class BeatAck(Wire, frozen=True):
    """Heartbeat `seq` arrived: the lease is valid for `lease_s` from its `sent_boot_s`.

    Attributes:
        wall_s: the master's wall clock when it answered, for the minion to compare with its own; 0: not told.
        leave: the minion is draining and holds no job: leave, once logs and results are delivered. Only the newest
            answer counts: who is resumed meanwhile is told so by the next one.
    """

    session: int
    seq: int
    sent_boot_s: float
    wall_s: float = 0.0
    leave: bool = False


class Fenced(Wire, frozen=True):
    """The session that spoke is below `floor`, the least that is valid: kill all, then Hello with session 0.

    A session that has lost its lease is below the floor too.
    """

    floor: int


class Need(Message, frozen=True):
    """The outputs of a job that a job needs."""

    job: str
    outputs: dict[str, str]


class RunJob(Wire, frozen=True):
    """Run this attempt. Deduplicated by the minion on (job, attempt).

    Attributes:
        secrets: what the job may see, by name. Never stored, never logged, masked in all that the job prints.
    """

    session: int
    run: RunId
    run_number: int
    job: JobId
    name: str
    attempt: int
    pipeline: str
    plugin: Digest
    plugin_size_bytes: int
    source: Digest
    source_size_bytes: int
    checkout: bool = True
    params: dict[str, str] = {}
    needs: tuple[Need, ...] = ()
    timeout_s: float = 0.0
    repository: str = ""
    ref: str = ""
    commit: str = ""
    secrets: dict[str, str] = {}


class JobStarted(Wire, frozen=True):
    """The attempt's process runs. Also what `RunJob` for a running attempt is answered with."""

    session: int
    job: JobId
    attempt: int
    pid: int
    started_s: float


class JobFinished(Wire, frozen=True):
    """The attempt has ended and is in the journal; sent again until `ResultAck`."""

    session: int
    job: JobId
    attempt: int
    result: Result


class ResultAck(Wire, frozen=True):
    """The result is stored, or is stale and of no use: the minion may forget the attempt."""

    job: JobId
    attempt: int


class CancelJob(Wire, frozen=True):
    """Ask the attempt to stop; kill it after `grace_s`."""

    session: int
    job: JobId
    attempt: int
    grace_s: float
    reason: str = ""


class Goodbye(Wire, frozen=True):
    """The minion leaves on purpose with nothing running: no lease has to be waited for.

    Attributes:
        idle: its journal is empty: what it was given and has not reported was not started, and never will be.
    """

    session: int
    idle: bool = False


FROM_MINION: tuple[type[Wire], ...] = (Hello, Beat, JobStarted, JobFinished, Goodbye, ErrorReply)
"""What a master accepts on its control socket."""

TO_MINION: tuple[type[Wire], ...] = (Welcome, Refused, BeatAck, Fenced, RunJob, ResultAck, CancelJob, ErrorReply)
"""What a minion accepts."""
