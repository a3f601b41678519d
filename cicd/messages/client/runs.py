"""Calls about runs, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.client.limits import PAGE
from cicd.messages.client.views import JobView
from cicd.messages.run import RunRecord


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


class RunAnswer(Wire, frozen=True):
    """A run and some or all of its jobs; `more`: the next page starts after the last of them."""

    run: RunRecord
    jobs: tuple[JobView, ...] = ()
    more: bool = False


class RunPage(Wire, frozen=True):
    """Runs, newest first."""

    runs: tuple[RunRecord, ...]
    more: bool = False
