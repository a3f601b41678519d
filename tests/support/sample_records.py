"""Values as a master shows them."""

from __future__ import annotations

from typing import Any

from cicd.messages.base import Digest, JobId, MinionId, PipelineId, RunId
from cicd.messages.client import JobView, MinionView, PipelineView
from cicd.messages.cluster import Connection, Disk, Load, MinionRecord
from cicd.messages.pipeline import (
    BuildState,
    JobSpec,
    LastRun,
    ParamSpec,
    PipelineRecord,
    PipelineSpec,
    Source,
)
from cicd.messages.run import (
    AttemptRecord,
    FailureKind,
    JobRecord,
    JobState,
    Result,
    RunRecord,
    RunState,
    Status,
    Trigger,
)

START_S = 1_767_600_000.0
"""2026-01-05T08:00:00Z."""


def a_run(state: RunState = RunState.RUNNING, **fields: Any) -> RunRecord:
    values: dict[str, Any] = {
        "id": RunId("01run"),
        "pipeline": PipelineId("01pipe"),
        "pipeline_name": "web",
        "number": 7,
        "plugin": Digest("ab" * 32),
        "source_digest": Digest("cd" * 32),
        "commit": "0123456789abcdef",
        "trigger": Trigger(by="alice"),
        "job_count": 2,
        "state": state,
        "created_s": START_S,
        "started_s": START_S + 1,
        "repository": "https://github.com/o/web.git",
        "ref": "main",
    }
    if state in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}:
        values["finished_s"] = START_S + 13.5
    return RunRecord(**(values | fields))


def a_job(index: int, name: str, state: JobState, **fields: Any) -> JobRecord:
    values: dict[str, Any] = {
        "id": JobId(f"01run-{index}"),
        "run": RunId("01run"),
        "index": index,
        "name": name,
        "state": state,
        "created_s": START_S,
        "queued_s": START_S,
    }
    if state not in {JobState.WAITING, JobState.QUEUED, JobState.SKIPPED}:
        values |= {"attempt": 1, "minion": MinionId("01min"), "minion_name": "minion-1", "started_s": START_S + 1.25}
    if state in {JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT}:
        values["finished_s"] = START_S + 4.75
    return JobRecord(**(values | fields))


def a_view(index: int, name: str, state: JobState, waits: str = "", **fields: Any) -> JobView:
    return JobView(job=a_job(index, name, state, **fields), waits=waits)


def a_failed_view(index: int, name: str) -> JobView:
    result = Result(
        status=Status.FAILED,
        message="ValueError: no",
        failure_kind=FailureKind.USER,
        exit_code=1,
        traceback='Traceback (most recent call last):\n  File "p.py", line 1\nValueError: no\n',
    )
    job = a_job(index, name, JobState.FAILED, message="ValueError: no")
    attempt = AttemptRecord(
        job=job.id, attempt=1, minion=MinionId("01min"), minion_name="minion-1", session=1, result=result
    )
    return JobView(job=job, attempts=(attempt,))


def a_pipeline(state: BuildState = BuildState.READY, **fields: Any) -> PipelineRecord:
    values: dict[str, Any] = {
        "id": PipelineId("01pipe"),
        "name": "web",
        "source": Source(repository="https://github.com/o/web.git", ref="main"),
        "created_s": START_S,
        "modified_s": START_S,
        "created_by": "alice",
        "plugin": Digest("ab" * 32),
        "commit": "0123456789abcdef",
        "build": 3,
        "build_state": state,
    }
    return PipelineRecord(**(values | fields))


def a_pipeline_view(state: BuildState = BuildState.READY, **fields: Any) -> PipelineView:
    spec = PipelineSpec(
        name="web",
        description="the web app",
        params=(
            ParamSpec(name="channel", default="dev", choices=("dev", "stable")),
            ParamSpec(name="n", required=True),
        ),
        jobs=(JobSpec(name="test", title="Tests"), JobSpec(name="ship", needs=("test",), idempotent=False)),
    )
    last = LastRun(run=RunId("01run"), number=7, by="alice", created_s=START_S)
    return PipelineView(pipeline=a_pipeline(state, **fields), last_run=last, spec=spec)


def a_minion(name: str = "minion-1", connection: Connection = Connection.READY, **fields: Any) -> MinionView:
    values: dict[str, Any] = {
        "id": MinionId(f"01{name}"),
        "name": name,
        "ring": 0,
        "session": 2,
        "hostname": "box",
        "version": "0.1.0",
        "platform": "Linux",
        "slots": 4,
        "joined_s": START_S,
        "labels": ("gpu",),
    }
    return MinionView(
        minion=MinionRecord(**(values | fields)),
        connection=connection,
        seen_s=START_S + 60,
        running=("01run-0",),
        load=Load(load1=0.5, memory_free_bytes=2 * 1024**3, disk=Disk(total_bytes=10 * 1024**3, free_bytes=1024**3)),
    )
