"""What a pipeline tells a host about itself."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from cicd_sdk import _messages as m
from cicd_sdk._job import Job
from cicd_sdk._param import Param, as_text
from cicd_sdk._pipeline import Pipeline
from cicd_sdk._version import __version__
from cicd_sdk._wire import Message

FEATURES = ["cancel", "fence"]

_TYPES = {str: m.ParamType.STRING, int: m.ParamType.INT, float: m.ParamType.FLOAT, bool: m.ParamType.BOOL}


def describe(pipeline: Pipeline) -> m.Description:
    """Return the description of a pipeline.

    Raises:
        PipelineError: the graph of its jobs is wrong.
    """
    pipeline.check()
    return m.Description(
        name=pipeline.name,
        description=pipeline.description,
        params=[_param(param) for param in pipeline.params.values()],
        jobs=[_job(job) for job in pipeline.jobs.values()],
        depends_on=list(pipeline.depends_on),
        triggers=[
            m.Trigger(kind=t.kind, settings={k: str(v) for k, v in t.settings.items()}) for t in pipeline.triggers
        ],
        max_parallel_runs=pipeline.max_parallel_runs,
        run_timeout_s=pipeline.run_timeout_s,
        features=list(FEATURES),
        sdk=f"python {__version__}",
        cancel_superseded=pipeline.cancel_superseded,
    )


def _param(param: Param) -> m.Param:
    return m.Param(
        name=param.name,
        type=_TYPES[param.type],
        description=param.description,
        default=None if param.default is None else as_text(param.default),
        choices=[as_text(choice) for choice in param.choices],
        required=param.required,
        secret=param.secret,
    )


def _job(job: Job) -> m.Job:
    retry = m.Retry(attempts=job.retry.attempts, backoff_s=job.retry.backoff_s, on=list(job.retry.on))
    return m.Job(
        name=job.name,
        title=job.title,
        needs=[m.Need(job=name, on=on) for name, on in job.needs],
        secrets=list(job.secrets),
        timeout_s=job.timeout_s,
        retry=retry if job.retry.attempts else None,
        idempotent=job.idempotent,
        labels=list(job.labels),
        resources=dict(job.resources),
        concurrency_group=job.group,
        allow_failure=job.allow_failure,
        approval=job.approval,
        cache_key=job.cache_key,
        checkout=job.checkout,
        description=job.description,
    )


def as_json(value: Any) -> Any:
    """Return a message as what `json` can write: enums by name, absent values left out."""
    if isinstance(value, Message):
        shown = {field.name: getattr(value, field.name) for field in value.FIELDS}
        return {name: as_json(item) for name, item in shown.items() if item is not None}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.name if isinstance(value, IntEnum) else value
