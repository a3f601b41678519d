"""The declaration of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, overload

from cicd_sdk import _graph
from cicd_sdk._duration import seconds
from cicd_sdk._job import Job, JobFunction, JobRef, Need, Retry
from cicd_sdk._messages import NeedOn
from cicd_sdk._param import Param, Scalar
from cicd_sdk.errors import PipelineError

F = TypeVar("F", bound=Callable[..., Any])

created: list[Pipeline] = []
"""Every pipeline that this process declared: a host loads a file and looks here for the one in it."""

_loading: list[str] = []
"""The files that a host is loading right now, as modules."""


@contextmanager
def loading(path: str) -> Iterator[None]:
    """Let `main` do nothing while a file is loaded as a module."""
    _loading.append(path)
    try:
        yield
    finally:
        _loading.pop()


class Trigger:
    """What starts a run by itself.

    Args:
        kind: "push", "pull_request", "cron", ...
        settings: as texts; what they mean depends on the kind.
    """

    __slots__ = ("kind", "settings")

    def __init__(self, kind: str, **settings: str) -> None:
        self.kind = kind
        self.settings = settings


class Pipeline:
    """A pipeline: its jobs are declared with `job`, and `main` runs or serves it.

    Args:
        name: for people; what a cluster calls it is given when it is created there.
        description: for people.
        params: what a run can be given; `param` declares more.
        depends_on: names of pipelines whose active runs a run of this one waits for.
        triggers: what starts a run by itself.
        max_parallel_runs: how many runs may be active at once; 0: any number. The others wait, in order.
        run_timeout: how long a run may take from the start of its first job, as seconds or a text like "1h"; None:
            the cluster's default.
        cancel_superseded: whether a new run cancels the older ones of the same branch that have not ended.

    Raises:
        PipelineError: a name is empty, or a param is declared twice.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        params: Sequence[Param] = (),
        depends_on: Sequence[str] = (),
        triggers: Sequence[Trigger] = (),
        max_parallel_runs: int = 0,
        run_timeout: str | float | None = None,
        cancel_superseded: bool = False,
    ) -> None:
        if not isinstance(name, str) or not name.strip():
            raise PipelineError(f"a pipeline needs a name, not {name!r}")
        if isinstance(depends_on, str):
            raise PipelineError(f"pipeline {name!r}: depends_on is a list of names, not the text {depends_on!r}")
        if not isinstance(max_parallel_runs, int) or max_parallel_runs < 0:
            raise PipelineError(f"pipeline {name!r}: max_parallel_runs is a number from 0, not {max_parallel_runs!r}")
        self.name = name
        self.description = description
        self.params: dict[str, Param] = {}
        self.jobs: dict[str, Job] = {}
        self.depends_on = tuple(depends_on)
        self.triggers = tuple(triggers)
        self.max_parallel_runs = max_parallel_runs
        self.run_timeout_s = 0.0 if run_timeout is None else seconds(run_timeout, f"pipeline {name!r}, run_timeout")
        self.cancel_superseded = bool(cancel_superseded)
        for param in params:
            self._add_param(param)
        created.append(self)

    def param(
        self,
        name: str,
        *,
        type: type[Scalar] | None = None,  # noqa: A002 - the word that authors expect
        default: Scalar | None = None,
        choices: Sequence[Scalar] = (),
        required: bool | None = None,
        secret: bool = False,
        description: str = "",
    ) -> Param:
        """Declare a param; the arguments are those of `Param`.

        Raises:
            PipelineError: it is declared twice, or wrongly.
        """
        param = Param(
            name, type=type, default=default, choices=choices, required=required, secret=secret, description=description
        )
        self._add_param(param)
        return param

    @overload
    def job(self, function: F, /) -> F: ...

    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        title: str = "",
        needs: Sequence[JobRef | Need] = (),
        timeout: str | float | None = None,
        retry: int | Retry = 0,
        idempotent: bool = True,
        labels: Sequence[str] = (),
        secrets: Sequence[str] = (),
        resources: Mapping[str, str] | None = None,
        group: str = "",
        allow_failure: bool = False,
        approval: str = "",
        cache_key: str = "",
        checkout: bool | Literal["git"] = True,
    ) -> Callable[[F], F]: ...

    def job(self, function: F | None = None, /, *, needs: Sequence[JobRef | Need] = (), **declared: Any) -> Any:
        """Declare a function as a job, as `@pipeline.job` or `@pipeline.job(...)`. The function stays what it is.

        Args:
            function: takes a `Context` or nothing; returns None or its outputs: a dict of names and scalars.
            needs: the jobs before it, by function or name; `on_failure(job)` and `on_any(job)` for other than success.
            declared:
                name: its identity in the pipeline (default: the function's name). title: for people.
                timeout: seconds, or a text like "5m". retry: tries after the first, or a `Retry`.
                idempotent: whether it may run again when it is unknown how far it came; say False for a deploy.
                labels: of the minions that may run it. secrets: names of those that it may see. resources: what it
                uses.
                group: at most one job of a group runs at a time. approval: a text that a person has to agree to.
                allow_failure: whether its failure counts as fine: what needs it goes on, and the run can succeed.
                cache_key: equal keys need to run once.
                checkout: what its workspace holds at first: True: the tree of the commit; "git": a clone; False:
                nothing.

        Raises:
            PipelineError: the declaration is wrong, or the name is taken.
        """
        if function is not None:
            self._add_job(function, needs, declared)
            return function

        def declare(function: F) -> F:
            self._add_job(function, needs, declared)
            return function

        return declare

    def check(self) -> None:
        """Check what can only be seen when everything is declared: the graph of the jobs.

        Raises:
            PipelineError: a need does not exist, or jobs wait for each other.
        """
        _graph.check(self.jobs)

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Be the program: serve a host that started it as a plugin, else run the pipeline right here.

        Returns only where a host loads the file as a module: a call that no `if __name__ == "__main__"` guards then
        does nothing.

        Args:
            argv: the arguments of the command line; default: the program's own.

        Raises:
            SystemExit: with the program's exit code.
        """
        if _loading:
            return
        from cicd_sdk import _handshake

        if _handshake.wanted():
            from cicd_sdk import _serve

            raise SystemExit(_serve.serve_program(self))
        from cicd_sdk import _cli

        raise SystemExit(_cli.main(self, argv))

    def _add_param(self, param: Param) -> None:
        if not isinstance(param, Param):
            raise PipelineError(f"pipeline {self.name!r}: {param!r} is no param; make one with cicd_sdk.Param(...)")
        if param.name in self.params:
            raise PipelineError(f"pipeline {self.name!r}: param {param.name!r} is declared twice")
        self.params[param.name] = param

    def _add_job(self, function: JobFunction, needs: Sequence[JobRef | Need], declared: dict[str, Any]) -> None:
        name = str(declared.get("name") or getattr(function, "__name__", "?"))
        if isinstance(needs, str) or not isinstance(needs, Sequence):
            raise PipelineError(f"job {name!r}: needs is a list of jobs, not {needs!r}")
        job = Job(function, needs=self._needs(name, needs), **declared)
        if job.name in self.jobs:
            raise PipelineError(f"pipeline {self.name!r}: there are two jobs called {job.name!r}")
        self.jobs[job.name] = job

    def _needs(self, job: str, needs: Sequence[JobRef | Need]) -> list[tuple[str, NeedOn]]:
        found: dict[str, NeedOn] = {}
        for need, on in (self._need(job, need) for need in needs):
            if found.setdefault(need, on) != on:
                raise PipelineError(f"job {job!r}: it needs {need!r} twice, to end in different ways")
        return list(found.items())

    def _need(self, job: str, need: JobRef | Need) -> tuple[str, NeedOn]:
        if not isinstance(need, Need):
            need = Need(need)
        if isinstance(need.job, str):
            return need.job, need.on
        names = [known.name for known in self.jobs.values() if known.function is need.job]
        if len(names) == 1:
            return names[0], need.on
        shown = getattr(need.job, "__name__", repr(need.job))
        if names:
            raise PipelineError(f"job {job!r} needs {shown!r}, which is {' and '.join(names)}: say which, by name")
        for other in created:
            if any(known.function is need.job for known in other.jobs.values()):
                raise PipelineError(f"job {job!r} needs {shown!r}, a job of another pipeline ({other.name!r})")
        raise PipelineError(
            f"job {job!r} needs {shown!r}, which is no job of this pipeline (is it declared further down?)"
        )
