"""What is shown: records with what is kept or known beside them."""

from cicd.messages.base import Message
from cicd.messages.cluster import Availability, Connection, HealthReason, Load, MinionRecord
from cicd.messages.pipeline import LastRun, PipelineRecord, PipelineSpec
from cicd.messages.run import AttemptRecord, JobRecord


class PipelineView(Message, frozen=True):
    """A pipeline with what is kept beside it."""

    pipeline: PipelineRecord
    last_run: LastRun | None = None
    spec: PipelineSpec | None = None


class JobView(Message, frozen=True):
    """A job, why it waits (empty when it does not) and its attempts (only in `ShowRun`)."""

    job: JobRecord
    waits: str = ""
    attempts: tuple[AttemptRecord, ...] = ()


class MinionView(Message, frozen=True):
    """A minion: what is stored of it, and how it is now, by three axes: connection, health, availability.

    Attributes:
        health: why it is not well; empty: it is, or has not been heard of.
        availability: what people said of it.
        seen_s: wall time of its last check-in; 0: not since the master started.
        running: ids of the jobs that hold its slots.
    """

    minion: MinionRecord
    connection: Connection
    seen_s: float = 0.0
    running: tuple[str, ...] = ()
    load: Load = Load()
    health: tuple[HealthReason, ...] = ()
    availability: Availability = Availability.ACTIVE
