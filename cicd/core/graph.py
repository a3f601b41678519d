"""The jobs of a pipeline as a graph: checked once when a plugin is described, walked while a run goes on."""

from collections import Counter
from collections.abc import Sequence

from cicd.errors import UserError
from cicd.messages.pipeline import JobSpec


def check(jobs: Sequence[JobSpec]) -> None:
    """Refuse jobs that cannot be run as a graph.

    Raises:
        UserError: no job at all, duplicate names, needs that no job has, or a cycle; all of a kind are named at once.
    """
    if not jobs:
        raise UserError("the pipeline has no jobs", code="graph")
    names = Counter(job.name for job in jobs)
    doubled = sorted(name for name, count in names.items() if count > 1)
    if doubled:
        raise UserError(f"more than one job is called {_listed(doubled)}", code="graph")
    unknown = [f"{job.name!r} needs {need!r}" for job in jobs for need in job.needs if need not in names]
    if unknown:
        raise UserError(f"no such job: {', '.join(unknown)}", code="graph")
    cycle = find_cycle(jobs)
    if cycle:
        raise UserError(f"jobs need each other in a circle: {' -> '.join(cycle)}", code="graph")


def find_cycle(jobs: Sequence[JobSpec]) -> list[str]:
    """Return the names along one cycle, the first one again at the end; empty if there is none.

    Args:
        jobs: unique names, known needs.
    """
    needs = {job.name: job.needs for job in jobs}
    done: set[str] = set()
    for start in needs:
        if start in done:
            continue
        path: list[str] = []
        on_path: dict[str, int] = {}
        # Depth first with a stack of our own: a chain of 10,000 jobs is deeper than Python's recursion limit.
        stack: list[tuple[str, int]] = [(start, 0)]
        while stack:
            name, index = stack.pop()
            if index == 0:
                on_path[name] = len(path)
                path.append(name)
            if index < len(needs[name]):
                stack.append((name, index + 1))
                following = needs[name][index]
                if following in on_path:
                    return [*path[on_path[following] :], following]
                if following not in done:
                    stack.append((following, 0))
            else:
                done.add(name)
                path.pop()
                del on_path[name]
    return []


def dependents(jobs: Sequence[JobSpec]) -> list[list[int]]:
    """Return for each job the indexes of the jobs that need it."""
    index = {job.name: place for place, job in enumerate(jobs)}
    result: list[list[int]] = [[] for _ in jobs]
    for place, job in enumerate(jobs):
        for need in dict.fromkeys(job.needs):
            result[index[need]].append(place)
    return result


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
