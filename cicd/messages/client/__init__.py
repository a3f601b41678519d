"""Conversation between a client (command line, later the gateway) and the master (DEALER to ROUTER, client socket).

A client asks `Request(id, call)`. It is answered by `Reply(id, answer)` or `Failure(id, code)`; a call that follows
something is answered by `Item(id, seq, answer)`s and an `End(id)`. A client that follows acknowledges items with
`Credit(id, seq)`: at most `STREAM_WINDOW` items are on their way. `StopStream(id)` ends a stream. A stream that its
client has not acknowledged for `STREAM_IDLE_S` is ended by the master.
"""

from cicd.messages.base import ErrorReply, Wire
from cicd.messages.client.catalogue import Answer, Call, Done
from cicd.messages.client.disk import DeletionPage, DiskAnswer, ListDeletions, ShowDisk
from cicd.messages.client.envelope import Credit, End, Failure, Item, Reply, Request, StopStream
from cicd.messages.client.limits import PAGE, STREAM_IDLE_S, STREAM_WINDOW
from cicd.messages.client.logs import LogEndInfo, LogText, ReadLog
from cicd.messages.client.master import Status, StatusAnswer
from cicd.messages.client.minions import (
    DrainMinion,
    ListMinions,
    MinionAnswer,
    MinionPage,
    RemoveMinion,
    ResumeMinion,
    ShowMinion,
    SuspendMinion,
)
from cicd.messages.client.pipelines import (
    CreatePipeline,
    DeletePipeline,
    FollowBuild,
    ListPipelines,
    PipelineAnswer,
    PipelinePage,
    RecompilePipeline,
    ShowPipeline,
)
from cicd.messages.client.runs import (
    CancelRun,
    FollowRun,
    ListRuns,
    ResolveJob,
    RetryRun,
    RunAnswer,
    RunPage,
    ShowRun,
    StartRun,
)
from cicd.messages.client.story import ExplainRun, StoryKind, StoryLine, StoryLines
from cicd.messages.client.tokens import CreateToken, ListTokens, RevokeToken, TokenAnswer, TokenPage
from cicd.messages.client.views import JobView, MinionView, PipelineView

__all__ = [
    "FROM_CLIENT",
    "PAGE",
    "STREAM_IDLE_S",
    "STREAM_WINDOW",
    "TO_CLIENT",
    "Answer",
    "Call",
    "CancelRun",
    "CreatePipeline",
    "CreateToken",
    "Credit",
    "DeletePipeline",
    "DeletionPage",
    "DiskAnswer",
    "Done",
    "DrainMinion",
    "End",
    "ExplainRun",
    "Failure",
    "FollowBuild",
    "FollowRun",
    "Item",
    "JobView",
    "ListDeletions",
    "ListMinions",
    "ListPipelines",
    "ListRuns",
    "ListTokens",
    "LogEndInfo",
    "LogText",
    "MinionAnswer",
    "MinionPage",
    "MinionView",
    "PipelineAnswer",
    "PipelinePage",
    "PipelineView",
    "ReadLog",
    "RecompilePipeline",
    "RemoveMinion",
    "Reply",
    "Request",
    "ResolveJob",
    "ResumeMinion",
    "RetryRun",
    "RevokeToken",
    "RunAnswer",
    "RunPage",
    "ShowDisk",
    "ShowMinion",
    "ShowPipeline",
    "ShowRun",
    "StartRun",
    "Status",
    "StatusAnswer",
    "StopStream",
    "StoryKind",
    "StoryLine",
    "StoryLines",
    "SuspendMinion",
    "TokenAnswer",
    "TokenPage",
]

FROM_CLIENT: tuple[type[Wire], ...] = (Request, Credit, StopStream)
TO_CLIENT: tuple[type[Wire], ...] = (Reply, Failure, Item, End, ErrorReply)
