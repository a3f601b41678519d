"""Conversation between a client (command line, later the gateway) and the master (DEALER to ROUTER, client socket).

A client asks `Request(id, call)`. It is answered by `Reply(id, answer)` or `Failure(id, code)`; a call that follows
something is answered by `Item(id, seq, answer)`s and an `End(id)`. A client that follows acknowledges items with
`Credit(id, seq)`: at most `STREAM_WINDOW` items are on their way. `StopStream(id)` ends a stream. A stream that its
client has not acknowledged for `STREAM_IDLE_S` is ended by the master.
"""

from cicd.messages.base import PROTOCOL_VERSION, ErrorReply, Message, Wire
from cicd.messages.cluster import Connection, Load, MinionRecord, TokenRecord
from cicd.messages.pipeline import LastRun, PipelineRecord, PipelineSpec
from cicd.messages.run import AttemptRecord, JobRecord, RunRecord

STREAM_WINDOW = 64
"""Most unacknowledged items of one stream."""
STREAM_IDLE_S = 60.0
PAGE = 100
"""Most rows of one page."""


# ---- what is shown -------------------------------------------------------------------------------------


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
    """A minion: what is stored of it, and how it is now.

    Attributes:
        seen_s: wall time of its last check-in; 0: not since the master started.
        running: ids of the jobs that hold its slots.
    """

    minion: MinionRecord
    connection: Connection
    seen_s: float = 0.0
    running: tuple[str, ...] = ()
    load: Load = Load()


# ---- calls ---------------------------------------------------------------------------------------------


class Status(Wire, frozen=True):
    """-> StatusAnswer. Is the master there, and what is it?"""


class CreatePipeline(Wire, frozen=True):
    """-> PipelineAnswer. `repo` as people write it: owner/name, github.com/owner/name, a URL."""

    name: str
    repo: str
    ref: str = ""
    path: str = ".cicd"
    description: str = ""


class ListPipelines(Wire, frozen=True):
    """-> PipelinePage, by name. `after`: the last name of the page before."""

    after: str = ""
    limit: int = PAGE


class ShowPipeline(Wire, frozen=True):
    """-> PipelineAnswer with its spec."""

    name: str


class RecompilePipeline(Wire, frozen=True):
    """-> PipelineAnswer, its build begun (or joined to the one that is running and will see the newest commit)."""

    name: str


class DeletePipeline(Wire, frozen=True):
    """-> Done. Refused while it has active runs."""

    name: str


class FollowBuild(Wire, frozen=True):
    """stream of LogText, then one PipelineAnswer. `build` 0: the newest."""

    name: str
    build: int = 0
    follow: bool = True


class StartRun(Wire, frozen=True):
    """-> RunAnswer. Acknowledged after the run is durable.

    `request` makes it safe to ask again: the same request id gives the same run.
    """

    pipeline: str
    params: dict[str, str] = {}
    request: str = ""


class ListRuns(Wire, frozen=True):
    """-> RunPage, newest first. `before`: the last run id (or, with a pipeline, number) of the page before."""

    pipeline: str = ""
    before: str = ""
    limit: int = PAGE
    active: bool = False


class ShowRun(Wire, frozen=True):
    """-> RunAnswer with all of its jobs (paged by `after_index`). `run`: an id or `pipeline#number`."""

    run: str
    after_index: int = -1
    limit: int = PAGE


class FollowRun(Wire, frozen=True):
    """stream of RunAnswer (first the whole, in pages, then only what changed) until the run has ended."""

    run: str


class CancelRun(Wire, frozen=True):
    """-> RunAnswer. Cancelling a run that has ended is a conflict."""

    run: str


class ReadLog(Wire, frozen=True):
    """stream of LogText of one job's attempt (0: the newest), then a LogEndInfo. `follow`: until it is whole."""

    run: str
    job: str
    attempt: int = 0
    follow: bool = False
    offset: int = 0


class ListMinions(Wire, frozen=True):
    """-> MinionPage, by place in the ring."""

    after: int = -1
    limit: int = PAGE


class ShowMinion(Wire, frozen=True):
    """-> MinionAnswer."""

    name: str


class SuspendMinion(Wire, frozen=True):
    """-> MinionAnswer. It gets no new jobs until it is resumed; what runs there goes on."""

    name: str
    why: str = ""


class ResumeMinion(Wire, frozen=True):
    """-> MinionAnswer."""

    name: str


class CreateToken(Wire, frozen=True):
    """-> TokenAnswer with the secret: the only time it is shown."""

    note: str = ""


class ListTokens(Wire, frozen=True):
    """-> TokenPage."""


class RevokeToken(Wire, frozen=True):
    """-> Done. No new connection with it is let in; those that are open are not cut."""

    id: str


Call = (
    Status
    | CreatePipeline
    | ListPipelines
    | ShowPipeline
    | RecompilePipeline
    | DeletePipeline
    | FollowBuild
    | StartRun
    | ListRuns
    | ShowRun
    | FollowRun
    | CancelRun
    | ReadLog
    | ListMinions
    | ShowMinion
    | SuspendMinion
    | ResumeMinion
    | CreateToken
    | ListTokens
    | RevokeToken
)

# ---- answers -------------------------------------------------------------------------------------------


class StatusAnswer(Wire, frozen=True):
    """The master is there."""

    version: str
    operator: str
    started_s: float
    protocol: int = PROTOCOL_VERSION
    data_dir: str = ""
    endpoints: dict[str, str] = {}
    """`control`, `bulk`, `client`, `tap` (when on): where it listens."""


class PipelineAnswer(Wire, frozen=True):
    """One pipeline."""

    view: PipelineView


class PipelinePage(Wire, frozen=True):
    """Pipelines in the order of their names; `more`: there is another page."""

    pipelines: tuple[PipelineView, ...]
    more: bool = False


class RunAnswer(Wire, frozen=True):
    """A run and some or all of its jobs; `more`: the next page starts after the last of them."""

    run: RunRecord
    jobs: tuple[JobView, ...] = ()
    more: bool = False


class RunPage(Wire, frozen=True):
    """Runs, newest first."""

    runs: tuple[RunRecord, ...]
    more: bool = False


class LogText(Wire, frozen=True):
    """A piece of a log (at most 64 KiB) from `offset`."""

    offset: int
    data: bytes


class LogEndInfo(Wire, frozen=True):
    """Says whether the log is whole: `complete`, or why not in `gap`."""

    attempt: int
    size_bytes: int
    lines: int = 0
    sha256: str = ""
    complete: bool = False
    gap: str = ""


class MinionAnswer(Wire, frozen=True):
    """One minion."""

    view: MinionView


class MinionPage(Wire, frozen=True):
    """Minions in the order of the ring."""

    minions: tuple[MinionView, ...]
    more: bool = False


class TokenAnswer(Wire, frozen=True):
    """A new token, whole (`cicd1.<server key>.<id>.<secret>`)."""

    record: TokenRecord
    token: str


class TokenPage(Wire, frozen=True):
    """Tokens without their secrets."""

    tokens: tuple[TokenRecord, ...]


class Done(Wire, frozen=True):
    """It is done, and durable."""


Answer = (
    StatusAnswer
    | PipelineAnswer
    | PipelinePage
    | RunAnswer
    | RunPage
    | LogText
    | LogEndInfo
    | MinionAnswer
    | MinionPage
    | TokenAnswer
    | TokenPage
    | Done
)

# ---- envelopes -----------------------------------------------------------------------------------------


class Request(Wire, frozen=True):
    """A call; `id` is the client's own, unique on its connection."""

    id: int
    call: Call
    protocol: int = PROTOCOL_VERSION


class Reply(Wire, frozen=True):
    """The answer to request `id`."""

    id: int
    answer: Answer


class Failure(Wire, frozen=True):
    """Request or stream `id` failed; see `cicd.errors` for codes."""

    id: int
    code: str
    text: str
    retryable: bool = False


class Item(Wire, frozen=True):
    """Item `seq` (from 1) of stream `id`."""

    id: int
    seq: int
    answer: Answer


class End(Wire, frozen=True):
    """Stream `id` is over; nothing follows."""

    id: int


class Credit(Wire, frozen=True):
    """The client has consumed the items of stream `id` up to and including `seq`."""

    id: int
    seq: int


class StopStream(Wire, frozen=True):
    """The client wants no more of stream `id`."""

    id: int


FROM_CLIENT: tuple[type[Wire], ...] = (Request, Credit, StopStream)
TO_CLIENT: tuple[type[Wire], ...] = (Reply, Failure, Item, End, ErrorReply)
