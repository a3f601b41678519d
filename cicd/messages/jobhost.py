"""Local conversation between a minion's jobhost and its agent, over a socketpair (see framing).

The jobhost outlives agents: whatever it told one agent it tells the next one again in `HostHello`. The protocol has a
version of its own, so that an upgraded agent can meet an older jobhost. Deadlines are CLOCK_BOOTTIME of this machine.

    agent                                     jobhost
                                       <-     HostHello(session, entries, logs)
    Grant(session, deadline)           ->     lease begun or extended
    Start(run, plugin_dir, source_dir) ->     deduplicated on (job, attempt)
                                       <-     Started, LogGrew, Finished, LogClosed
    Cancel, ResultAcked, LogStored     ->
    Fence                              ->     kill all
                                       <-     FenceDone(entries)
                                       <-     Pulse                       each second: the jobhost's loop turns
                                       <-     Checks                      how the self-checks stand, when one has ended
    Leave                              ->     only if the journal and the spool are empty
                                       <-     Stopping(idle)              ending on purpose, nothing runs any more
                                       <-     DiskReport                  when the disk was measured anew
"""

from cicd.messages.base import Digest, JobId, Message, Wire
from cicd.messages.disk import DiskUse
from cicd.messages.minion import Entry, RunJob
from cicd.messages.run import Result

LOCAL_VERSION = 1


class LogState(Message, frozen=True):
    """A log in the spool that the master has not stored whole yet."""

    job: JobId
    attempt: int
    path: str
    size_bytes: int
    closed: bool = False
    lines: int = 0
    sha256: str = ""


class HostHello(Wire, frozen=True):
    """First message to every agent: all that the jobhost holds.

    Attributes:
        capabilities: what it understands beside the first version of this conversation: `leave`.
    """

    version: int
    session: int
    entries: tuple[Entry, ...] = ()
    logs: tuple[LogState, ...] = ()
    capabilities: tuple[str, ...] = ()
    deadline_boot_s: float = 0.0


class AgentHello(Wire, frozen=True):
    """The agent's answer: its version of this conversation."""

    version: int
    pid: int


class Grant(Wire, frozen=True):
    """The lease: jobs of `session` may run until `deadline_boot_s`."""

    session: int
    deadline_boot_s: float


class Start(Wire, frozen=True):
    """Run an attempt; its plugin and source tree are in the cache at these paths (checked against their digests)."""

    run_job: RunJob
    plugin_dir: str
    source_dir: str


class Started(Wire, frozen=True):
    """The attempt's process exists and the journal has it. Repeated for a `Start` of a running attempt."""

    job: JobId
    attempt: int
    pid: int
    started_s: float


class Finished(Wire, frozen=True):
    """The attempt has ended, its processes are gone, the journal has the result. Repeated until `ResultAcked`."""

    job: JobId
    attempt: int
    result: Result


class LogGrew(Wire, frozen=True):
    """An attempt's spool file has reached this size (coalesced)."""

    job: JobId
    attempt: int
    path: str
    size_bytes: int


class LogClosed(Wire, frozen=True):
    """An attempt's spool file will not grow any more."""

    job: JobId
    attempt: int
    path: str
    size_bytes: int
    lines: int
    sha256: str


class LogStored(Wire, frozen=True):
    """The master has the whole log: the spool file may go."""

    job: JobId
    attempt: int


class Cancel(Wire, frozen=True):
    """Stop an attempt: ask first, kill after `grace_s`. Also valid before it has started."""

    job: JobId
    attempt: int
    grace_s: float
    reason: str = ""


class ResultAcked(Wire, frozen=True):
    """The master has the result: the journal may forget the attempt."""

    job: JobId
    attempt: int


class Fence(Wire, frozen=True):
    """The session is over: kill every attempt of it, answer `FenceDone`."""


class FenceDone(Wire, frozen=True):
    """Nothing of the old session runs any more; the journal's entries as they are now."""

    entries: tuple[Entry, ...] = ()


class Pulse(Wire, frozen=True):
    """The jobhost's loop turned at this time."""

    boot_s: float


class CheckState(Message, frozen=True):
    """How a self-check stands.

    Attributes:
        failures: how often it has failed in a row, up to now.
        passed: whether it has ever passed.
        text: why it failed last: the first line of its output, or how it ended.
    """

    name: str
    failures: int = 0
    passed: bool = False
    text: str = ""


class Checks(Wire, frozen=True):
    """All self-checks that have run at least once."""

    states: tuple[CheckState, ...] = ()


class Leave(Wire, frozen=True):
    """The master has nothing more for this minion: end, unless something is still to be delivered. Said again."""


class CacheItem(Message, frozen=True):
    """A plugin or a source tree in the minion's cache.

    Attributes:
        kind: `plugin` or `source`.
        used_s: wall time when it was last asked for.
    """

    kind: str
    digest: Digest
    size_bytes: int
    used_s: float


class DiskReport(Wire, frozen=True):
    """What lies in the data folder, when it was measured anew.

    Attributes:
        cached: what is in the cache, used longest ago first; at most 500 of them.
        needed: of what is in it, what attempts or loaded pipelines use now.
    """

    use: DiskUse
    cached: tuple[CacheItem, ...] = ()
    needed: tuple[Digest, ...] = ()


class Stopping(Wire, frozen=True):
    """The jobhost ends on purpose and nothing runs: the agent says Goodbye and exits.

    Attributes:
        idle: the journal is empty: nothing that was ever given to this minion waits to be told.
    """

    idle: bool = False


TO_HOST: tuple[type[Wire], ...] = (AgentHello, Grant, Start, Cancel, ResultAcked, LogStored, Fence, Leave)
TO_AGENT: tuple[type[Wire], ...] = (
    HostHello,
    Started,
    Finished,
    LogGrew,
    LogClosed,
    FenceDone,
    Pulse,
    Checks,
    DiskReport,
    Stopping,
)
