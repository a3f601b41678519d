"""Checks the graph of a pipeline's jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from cicd_sdk._job import Job
from cicd_sdk.errors import PipelineError


def check(jobs: Mapping[str, Job]) -> None:
    """Check that every need exists and that no job waits for itself.

    Raises:
        PipelineError: naming the jobs.
    """
    for job in jobs.values():
        for need, _ in job.needs:
            if need not in jobs:
                raise PipelineError(
                    f"job {job.name!r} needs {need!r}, which does not exist; there are: {', '.join(jobs)}"
                )
    cycle = _cycle(jobs)
    if cycle:
        raise PipelineError(f"jobs wait for each other: {' -> '.join(cycle)}")


def closure(jobs: Mapping[str, Job], names: Iterable[str]) -> list[str]:
    """Return the named jobs and all that they need, in the order of their declaration."""
    wanted: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in wanted:
            wanted.add(name)
            left += [need for need, _ in jobs[name].needs]
    return [name for name in jobs if name in wanted]


def _cycle(jobs: Mapping[str, Job]) -> list[str]:
    """Return the names along a cycle, the first again at the end; empty when there is none."""
    free: set[str] = set()
    while True:
        freed = {name for name, job in jobs.items() if name not in free and all(need in free for need, _ in job.needs)}
        if not freed:
            break
        free |= freed
    return _walk(jobs, free)


def _walk(jobs: Mapping[str, Job], free: Collection[str]) -> list[str]:
    # Every job that is not free needs another that is not free: going on finds the cycle.
    name = next((name for name in jobs if name not in free), "")
    path: list[str] = []
    while name and name not in path:
        path.append(name)
        name = next(need for need, _ in jobs[name].needs if need not in free)
    return [*path[path.index(name) :], name] if path else []
