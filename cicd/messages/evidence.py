"""Why an attempt failed or was lost, as far as it can be told, and what shows it.

Both kinds of word are texts in messages, so that an older peer can read what a newer one says.
"""

from enum import StrEnum

from cicd.messages.base import Message


class Blame(StrEnum):
    """Whose fault it is."""

    NONE = ""
    CODE = "code"
    """Your code: what the job did or what it started."""
    MACHINE = "machine"
    """Our machine: the minion, or what runs jobs on it."""
    NETWORK = "network"
    """The way between master and minion, or the master."""
    UNCLEAR = "unclear"
    """What was seen fits more than one; the cause says what."""


class Cause(StrEnum):
    """What happened to it."""

    NONE = ""
    REPORTED = "reported"
    """The job said itself that it failed: an exception, a command, an exit code."""
    NO_RESULT = "no_result"
    """Its process ended without a result."""
    SIGNAL = "signal"
    """Its process was ended by a signal that is its own doing, such as SIGSEGV."""
    KILLED = "killed"
    """SIGKILL, neither by cicd nor for memory: by the job itself, or by somebody on the machine."""
    OUT_OF_MEMORY = "out_of_memory"
    DISK = "disk"
    QUOTA = "quota"
    """It took more of the disk than it may."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    PROTOCOL = "protocol"
    """It broke the conversation with its host."""
    HOST = "host"
    """The minion could not do its part: the message says what."""
    SUPERVISOR_KILLED = "supervisor_killed"
    """The process that supervises the job was killed."""
    JOBHOST_ENDED = "jobhost_ended"
    """The minion's jobhost ended under it: killed, or the machine went down."""
    LEASE = "lease"
    """The minion got no answer for so long that it may not go on."""
    FENCED = "fenced"
    """The master had given the minion's session up."""
    STOPPED = "stopped"
    """The minion was stopped on purpose."""
    SILENCE = "silence"
    """The master heard nothing of the minion any more."""
    FORGOTTEN = "forgotten"
    """The minion does not know of it any more."""
    NOT_BEGUN = "not_begun"
    """It is proven to have started nothing."""


class Evidence(Message, frozen=True):
    """What was seen. Exit code, signal and usage stand in the result itself.

    Attributes:
        blame: a `Blame`.
        cause: a `Cause`.
        oom_kills: processes killed for memory while it ran, not counted for another attempt; None: cannot be counted.
        oom_scope: where they were counted: "cgroup" (the minion's own) or "machine".
        memory_bytes: memory that the minion's processes may use together; 0: not known.
        disk_free_bytes: free for it on the minion's disk when it ended; None: not known.
        stalled_s: how much too late the minion noticed that its lease was over: it stood still itself.
        heard_s: wall time of the master when it last heard of the minion; 0: it is not about that.
        silent_s: how long it had heard nothing by then.
        missed_beats: heartbeats that were due in that time.
        closed: whether the minion's connection had been closed meanwhile, by which its machine still spoke.
    """

    blame: str = Blame.NONE
    cause: str = Cause.NONE
    oom_kills: int | None = None
    oom_scope: str = ""
    memory_bytes: int = 0
    disk_free_bytes: int | None = None
    stalled_s: float = 0.0
    heard_s: float = 0.0
    silent_s: float = 0.0
    missed_beats: int = 0
    closed: bool = False
