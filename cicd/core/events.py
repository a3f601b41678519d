"""What the core is told. Past tense; every event says what happened, never what to do about it.

`asker` and `origin` are opaque to the core: they come back in the plan so that the shell knows whom to answer.
"""

from typing import NewType

import msgspec

from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.cluster import TokenRecord
from cicd.messages.enrol import Enrol
from cicd.messages.minion import Beat, Goodbye, Hello, JobFinished, JobStarted
from cicd.messages.pipeline import PipelineSpec
from cicd.messages.run import JobRecord, ResolvedAs, RunRecord

Asker = NewType("Asker", int)
"""Names a person's pending call."""
Origin = NewType("Origin", bytes)
"""Names the connection that a message came by."""


class Now(msgspec.Struct, frozen=True):
    """The master's two clocks, in seconds: boot time decides, wall time is shown."""

    boot_s: float
    wall_s: float


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True, tag_field="_"):
    """Base of all events. Tagged by their class's name, so that a journal of inputs can hold any of them."""


class RunSubmitted(Event, frozen=True):
    """A person or a trigger wants a run. `run.number` is 0, and so is `up_to` of its dependencies: the core gives them.

    Attributes:
        supersede: cancel the older runs of its pipeline and ref, whether or not the pipeline says so.
        request: the asker's own id of this request; asking again with it gives the same run. Empty: none.
        requires: what a minion must offer to run the plugin (artifact tags); any one of them is enough; empty: nothing.
        carried: jobs of the run that this one repeats that succeeded and are not run again.
    """

    run: RunRecord
    spec: PipelineSpec
    requires: tuple[str, ...] = ()
    supersede: bool = False
    request: str = ""
    plugin_size_bytes: int = 0
    source_size_bytes: int = 0
    asker: Asker | None = None
    carried: tuple[JobRecord, ...] = ()


class RunCancelRequested(Event, frozen=True):
    """A person wants a run to end. `grace_s`: as in `CancelRun`."""

    run: RunId
    by: str
    asker: Asker | None = None
    grace_s: float | None = None


class JobCancelRequested(Event, frozen=True):
    """A person wants one job to end. `grace_s`: as in `CancelRun`."""

    job: JobId
    by: str
    asker: Asker | None = None
    grace_s: float | None = None


class JobResolved(Event, frozen=True):
    """A person says what became of a job in doubt."""

    job: JobId
    how: ResolvedAs
    by: str
    why: str = ""
    asker: Asker | None = None


class MinionSaidHello(Event, frozen=True):
    """A minion's first message on a connection.

    Attributes:
        user: what its key proved.
        enrolled: its key is the minion's own; else it is the one of a join token.
    """

    hello: Hello
    origin: Origin
    user: str
    received_boot_s: float
    enrolled: bool = False


class MinionBeat(Event, frozen=True):
    """A heartbeat of a minion that is bound to its connection."""

    minion: MinionId
    beat: Beat
    received_boot_s: float


class MinionStartedJob(Event, frozen=True):
    """A minion says that an attempt runs."""

    minion: MinionId
    started: JobStarted


class MinionFinishedJob(Event, frozen=True):
    """A minion says how an attempt ended."""

    minion: MinionId
    finished: JobFinished


class MinionSaidGoodbye(Event, frozen=True):
    """A minion left on purpose; nothing runs there."""

    minion: MinionId
    goodbye: Goodbye


class MinionDisconnected(Event, frozen=True):
    """The connection that the minion was bound to is gone."""

    minion: MinionId


class MinionSuspended(Event, frozen=True):
    """A person wants no new jobs on a minion."""

    minion: MinionId
    by: str
    why: str
    asker: Asker | None = None


class MinionDrained(Event, frozen=True):
    """A person wants a minion to finish what it has, and to leave."""

    minion: MinionId
    by: str
    why: str
    asker: Asker | None = None


class MinionResumed(Event, frozen=True):
    """A person wants new jobs on a minion again; a drain that is not over is undone."""

    minion: MinionId
    by: str
    asker: Asker | None = None


class MinionRemoved(Event, frozen=True):
    """A person wants a minion to be forgotten and its key to be let in no more."""

    minion: MinionId
    by: str
    asker: Asker | None = None


class MinionAskedToEnrol(Event, frozen=True):
    """A minion hands in a key of its own. `token`: the id of the join token whose key opened the connection."""

    ask: Enrol
    token: str
    origin: Origin


class TokenCreated(Event, frozen=True):
    """A person has made a join token."""

    token: TokenRecord
    asker: Asker | None = None


class TokenRevoked(Event, frozen=True):
    """A person wants a join token to let nobody in any more."""

    token: str
    asker: Asker | None = None


class Ticked(Event, frozen=True):
    """Time has passed."""
