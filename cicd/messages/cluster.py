"""Minions as the master knows them, and the tokens they join with."""

from enum import StrEnum

from cicd.messages.base import Message, MinionId
from cicd.messages.disk import DiskUse


class Connection(StrEnum):
    """Whether a minion can be reached."""

    JOINING = "joining"
    """Known from before, not heard of since the master started."""
    READY = "ready"
    SUSPECT = "suspect"
    """Silent for a while, or its connection broke: gets no new work."""
    LOST = "lost"
    """Its lease ran out: what ran there was given up."""


class Availability(StrEnum):
    """What people said of a minion."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """No new jobs until it is resumed."""
    DRAINING = "draining"
    """No new jobs, and it leaves when nothing of it is left to do."""


class HealthReason(Message, frozen=True):
    """Why a minion is not well: it gets no new jobs while there is one.

    Attributes:
        source: what found it: `disk`, `memory`, `load`, `clock`, or `check.NAME`.
        text: for people, such as `disk 97 % full, limit 95 %`.
    """

    source: str
    text: str


class MinionRecord(Message, frozen=True):
    """What must survive of a minion: its name, its session floor, what people said of it.

    Attributes:
        session: the newest session granted, the floor: an older one is refused.
        fenced: the floor was raised by losing the lease: the session itself is no longer valid either.
        suspended: whether people told it to take no new jobs.
        draining: suspended, and it is to leave when its jobs have ended; over once it has left.
        suspended_s: when people said so, wall time.
        left: it was lost by leaving on purpose.
        ring: its place in the round-robin ring; never changes.
        key: its own public CURVE key (z85); empty: it joined as the version before enrolment did, by a token's key.
    """

    id: MinionId
    name: str
    ring: int
    session: int = 0
    fenced: bool = False
    suspended: bool = False
    suspended_by: str = ""
    suspended_why: str = ""
    suspended_s: float = 0.0
    draining: bool = False
    left: bool = False
    hostname: str = ""
    version: str = ""
    platform: str = ""
    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    slots: int = 1
    joined_s: float = 0.0
    key: str = ""

    @property
    def availability(self) -> Availability:
        """What people said of it."""
        if self.draining:
            return Availability.DRAINING
        return Availability.SUSPENDED if self.suspended else Availability.ACTIVE


class Disk(Message, frozen=True):
    """The disk of a minion's data folder. Bytes."""

    total_bytes: int = 0
    free_bytes: int = 0


class Load(Message, frozen=True):
    """How busy a minion's machine is.

    Attributes:
        use: what the minion keeps on its disk; None: as it was told before.
    """

    load1: float = 0.0
    memory_free_bytes: int = 0
    disk: Disk = Disk()
    use: DiskUse | None = None


class TokenRecord(Message, frozen=True):
    """A join token: a minion that holds its secret may join.

    The secret itself is not kept: only the CURVE public key that is derived from it.

    Attributes:
        expires_s: wall time from which it lets no new key in; 0: never.
        uses: how many keys it has let in.
        max_uses: how many it may let in; 0: any number.
        enrol_only: its derived key opens the enrol socket only. Tokens that were made before there was one open the
            work sockets too, for minions that know no other way.
    """

    id: str
    client_public: str
    created_s: float
    created_by: str = ""
    note: str = ""
    revoked: bool = False
    expires_s: float = 0.0
    uses: int = 0
    max_uses: int = 0
    enrol_only: bool = False


class RemovedKey(Message, frozen=True):
    """The key of a minion that was removed: it is never let in again, by whatever token."""

    key: str
    minion: MinionId
    name: str
    removed_s: float = 0.0
    removed_by: str = ""
