"""Calls about pipelines and their builds, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.client.limits import PAGE
from cicd.messages.client.views import PipelineView


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


class PipelineAnswer(Wire, frozen=True):
    """One pipeline."""

    view: PipelineView


class PipelinePage(Wire, frozen=True):
    """Pipelines in the order of their names; `more`: there is another page."""

    pipelines: tuple[PipelineView, ...]
    more: bool = False
