"""Every call and every answer."""

from cicd.messages.base import Wire
from cicd.messages.client.disk import DeletionPage, DiskAnswer, ListDeletions, ShowDisk
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
from cicd.messages.client.story import ExplainRun, StoryLines
from cicd.messages.client.tokens import CreateToken, ListTokens, RevokeToken, TokenAnswer, TokenPage


class Done(Wire, frozen=True):
    """It is done, and durable."""


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
    | RetryRun
    | ResolveJob
    | ExplainRun
    | ReadLog
    | ListMinions
    | ShowMinion
    | SuspendMinion
    | DrainMinion
    | ResumeMinion
    | RemoveMinion
    | CreateToken
    | ListTokens
    | RevokeToken
    | ShowDisk
    | ListDeletions
)

Answer = (
    StatusAnswer
    | PipelineAnswer
    | PipelinePage
    | RunAnswer
    | RunPage
    | StoryLines
    | LogText
    | LogEndInfo
    | MinionAnswer
    | MinionPage
    | TokenAnswer
    | TokenPage
    | DiskAnswer
    | DeletionPage
    | Done
)
