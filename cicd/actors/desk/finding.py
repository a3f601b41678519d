"""What people mean by the names and numbers in their calls."""

from __future__ import annotations

from collections.abc import Sequence

from cicd.errors import ConflictError, NotFoundError, UserError
from cicd.messages import client as c
from cicd.messages.base import JobId, RunId, job_id
from cicd.messages.pipeline import PipelineRecord
from cicd.messages.run import Dependency, RunRecord
from cicd.storage.records import Records


def page_limit(limit: int) -> int:
    """Return how many rows a page may have that was asked for with `limit`."""
    return max(1, min(limit, c.PAGE))


def run_number(text: str) -> int:
    """Return a run's number.

    Raises:
        UserError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise UserError(f"not a run's number: {text!r}") from None


def find_pipeline(found: Records, name: str) -> PipelineRecord:
    """Return a pipeline by its name.

    Raises:
        NotFoundError: there is none.
    """
    pipeline = found.pipeline(name)
    if pipeline is None:
        raise NotFoundError(f"no pipeline is called {name!r}; `cicd pipelines list` shows those there are")
    return pipeline


def find_run(found: Records, text: str) -> RunRecord:
    """Return the run that people mean by an id, by `pipeline#number`, or by a pipeline's name (its newest run).

    Raises:
        NotFoundError: there is none.
    """
    run: RunRecord | None
    name, mark, number = text.rpartition("#")
    if mark:
        run = found.run_by_number(find_pipeline(found, name).id, run_number(number))
    else:
        run = found.run(RunId(text))
        pipeline = found.pipeline(text) if run is None else None
        last = found.last_run(pipeline.id) if pipeline is not None else None
        run = found.run(last.run) if last is not None else run
    if run is None:
        raise NotFoundError(f"no run {text!r}: give a run's id, PIPELINE#NUMBER, or a pipeline that has run")
    return run


def find_dependencies(found: Records, pipeline: PipelineRecord, names: Sequence[str]) -> tuple[Dependency, ...]:
    """Return the pipelines that a run of `pipeline` depends on.

    Raises:
        ConflictError: one is not there, or is the pipeline itself.
    """
    dependencies: list[Dependency] = []
    missing: list[str] = []
    for name in names:
        other = found.pipeline(name)
        if other is None:
            missing.append(repr(name))
        elif other.id == pipeline.id:
            text = f"{pipeline.name} depends on itself: say max_parallel_runs=1 instead, or force the run with --force"
            raise ConflictError(text)
        else:
            dependencies.append(Dependency(pipeline=other.id, name=other.name))
    if missing:
        text = f"{pipeline.name} depends on {', '.join(missing)}, which is not here: create it, or force the run"
        raise ConflictError(f"{text} with --force")
    return tuple(dependencies)


def find_job(found: Records, run: RunRecord, name: str) -> JobId:
    """Return the id of a run's job by its name.

    Raises:
        NotFoundError: there is none.
    """
    plugin = found.plugin(run.plugin)
    names = [job.name for job in plugin.spec.jobs] if plugin is not None else []
    if name not in names:
        raise NotFoundError(f"run {run.pipeline_name}#{run.number} has no job {name!r}; it has {', '.join(names)}")
    return job_id(run.id, names.index(name))
