"""What a run that repeats another need not run again.

A job is carried over that succeeded, and all of whose needs are carried over too: then all that it saw is as it was.
So a cleanup job of a failure that is to be mended, or a report on a job that is tried again, is decided on anew.
"""

from collections.abc import Sequence

from cicd.core import graph
from cicd.messages.pipeline import PipelineSpec
from cicd.messages.run import JobRecord, JobState


def carried(spec: PipelineSpec, jobs: Sequence[JobRecord]) -> tuple[JobRecord, ...]:
    """Return the jobs of a run that its repetition carries over.

    Args:
        spec: of both runs.
        jobs: all jobs of the run that is repeated, by index.
    """
    dependents = graph.dependents(spec.jobs)
    again = {job.index for job in jobs if job.state is not JobState.SUCCEEDED}
    pending = list(again)
    while pending:
        for index in dependents[pending.pop()]:
            if index not in again:
                again.add(index)
                pending.append(index)
    return tuple(job for job in jobs if job.index not in again)
