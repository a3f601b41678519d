"""What lies on a disk: the disk ledger of a minion and of the master, and what was deleted from them and why."""

from cicd.messages.base import JobId, Message

TOP = 8
"""Most attempts and pipelines that a minion's report names, the largest ones: it goes with heartbeats."""


class Deletion(Message, frozen=True):
    """Something that was deleted by rule.

    Attributes:
        at_s: wall time.
        kind: such as `workspace`, `plugin`, `source`, `run`, `logs`, `build log`, `mirror`.
        name: which one.
        size_bytes: what it took; 0: not known, or records only.
        reason: the rule, for people.
    """

    at_s: float
    kind: str
    name: str
    reason: str
    size_bytes: int = 0


class AttemptDisk(Message, frozen=True):
    """The folder of an attempt (workspace, temporary files, home).

    Attributes:
        ended: it is kept, to be looked into.
    """

    job: JobId
    attempt: int
    size_bytes: int
    pipeline: str = ""
    ended: bool = False


class PipelineDisk(Message, frozen=True):
    """All folders of attempts of one pipeline."""

    pipeline: str
    folders: int
    size_bytes: int


class DiskUse(Message, frozen=True):
    """What a minion keeps. Bytes are those that the disk has given, not the files' lengths.

    Attributes:
        measured_s: wall time of the minion; 0: not yet measured.
        workspaces: number of attempts' folders.
        attempts: the largest of them.
        pipelines: those with the largest folders together.
        allowed_bytes: what the minion may keep altogether; 0: no limit.
        deletions: the last ones, newest first.
    """

    measured_s: float = 0.0
    workspaces: int = 0
    workspaces_bytes: int = 0
    plugins: int = 0
    plugins_bytes: int = 0
    sources: int = 0
    sources_bytes: int = 0
    spool_bytes: int = 0
    allowed_bytes: int = 0
    attempts: tuple[AttemptDisk, ...] = ()
    pipelines: tuple[PipelineDisk, ...] = ()
    deletions: tuple[Deletion, ...] = ()

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.workspaces_bytes + self.plugins_bytes + self.sources_bytes + self.spool_bytes


class MasterDisk(Message, frozen=True):
    """What the master keeps. Bytes that the disk has given.

    Attributes:
        measured_s: wall time when the last whole look at it ended; 0: not yet.
        reserve_held: whether the reserve for a full disk is there; without it nothing new is begun.
    """

    total_bytes: int = 0
    free_bytes: int = 0
    measured_s: float = 0.0
    store_bytes: int = 0
    logs_bytes: int = 0
    plugins_bytes: int = 0
    sources_bytes: int = 0
    mirrors_bytes: int = 0
    builds_bytes: int = 0
    other_bytes: int = 0
    reserve_held: bool = True
