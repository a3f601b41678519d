"""Calls about runs, and what answers them."""

from cicd.messages.base import RunId, Wire
from cicd.messages.client.limits import PAGE
from cicd.messages.client.views import JobView
from cicd.messages.run import ResolvedAs, RunRecord


class StartRun(Wire, frozen=True):
    """-> RunAnswer. Acknowledged after the run is durable.

    `request` makes it safe to ask again: the same request id gives the same run.

    Attributes:
        priority: -100 to 100; the higher goes first.
        supersede: cancel the older runs of the same pipeline and ref.
        force: do not wait for the pipelines that this one depends on, and start although one of them failed.
    """

    pipeline: str
    params: dict[str, str] = {}
    request: str = ""
    priority: int = 0
    supersede: bool = False
    force: bool = False


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
    """-> RunAnswer. Cancelling what has ended is a conflict; so is cancelling twice, but for a shorter grace.

    Attributes:
        job: the name of the one job to cancel; empty: the whole run.
        grace_s: seconds between asking and killing, 0 or more; None: the master's default.
    """

    run: str
    job: str = ""
    grace_s: float | None = None


class RetryRun(Wire, frozen=True):
    """-> RunAnswer of a new run with the same plugin, commit and params, of a run that has ended.

    Jobs that succeeded, as did all that they need, are carried over with their outputs, unless `all_jobs`. `request` as
    in `StartRun`.
    """

    run: str
    all_jobs: bool = False
    request: str = ""


class ResolveJob(Wire, frozen=True):
    """-> RunAnswer. Says what became of a job that is in doubt (UNKNOWN); of any other it is a conflict."""

    run: str
    job: str
    how: ResolvedAs
    why: str = ""


class RunAnswer(Wire, frozen=True):
    """A run and some or all of its jobs; `more`: the next page starts after the last of them.

    `waits`: why the run has not been let in; empty when it has.
    """

    run: RunRecord
    jobs: tuple[JobView, ...] = ()
    more: bool = False
    waits: str = ""


class RunPage(Wire, frozen=True):
    """Runs, newest first. `waits`: why those that have not been let in wait, by id."""

    runs: tuple[RunRecord, ...]
    more: bool = False
    waits: dict[RunId, str] = {}
