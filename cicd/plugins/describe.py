"""What a plugin says of itself, made into what this version runs; what is wrong or not honoured is named at once.

The answer comes from a program that anyone may have written, so nothing in it is taken as it is. What the contract
(`pipeline.proto`) knows and this version cannot do yet is refused by name: a pipeline that asks for an approval
must not run without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cicd.core import graph
from cicd.core.params import value_fault
from cicd.errors import UserError
from cicd.messages.pipeline import JobSpec, NeedOn, ParamSpec, ParamType, PipelineSpec, Retry
from cicd.messages.run import FailureKind
from cicd.plugins.pb import pipeline_pb2 as pb

MAX_JOBS = 10_000
MAX_PARAMS = 200
MAX_DEPENDENCIES = 100
MAX_TEXT = 4000
"""Longest description or value, in characters."""
MAX_TIMEOUT_S = 30 * 24 * 3600.0
MAX_RETRIES = 100
MAX_BACKOFF_S = 24 * 3600.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PARAM_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,99}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=-]{0,99}")
_PARAM_TYPES = {
    pb.PARAM_TYPE_UNSPECIFIED: ParamType.STRING,
    pb.PARAM_TYPE_STRING: ParamType.STRING,
    pb.PARAM_TYPE_INT: ParamType.INT,
    pb.PARAM_TYPE_FLOAT: ParamType.FLOAT,
    pb.PARAM_TYPE_BOOL: ParamType.BOOL,
}
_NEED_ON = {pb.NEED_ON_SUCCESS: NeedOn.SUCCESS, pb.NEED_ON_FAILURE: NeedOn.FAILURE, pb.NEED_ON_ANY: NeedOn.ANY}
_KINDS = tuple(kind.value for kind in FailureKind if kind.value)
_SHOWN_FAULTS = 20


class DescriptionError(UserError):
    """A plugin describes a pipeline that cannot be run, or not by this version."""

    code = "describe"


def spec_from_description(description: pb.Description) -> PipelineSpec:
    """Return the pipeline that a plugin describes.

    Raises:
        DescriptionError: all that is wrong with it and all that this version does not honour, in one line; or what is
            wrong with the graph of its jobs.
    """
    faults = list(_faults(description))
    if faults:
        more = f"; and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise DescriptionError("; ".join(faults[:_SHOWN_FAULTS]) + more)
    spec = PipelineSpec(
        name=description.name,
        description=description.description,
        params=tuple(_param(param) for param in description.params),
        jobs=tuple(_job(job) for job in description.jobs),
        sdk=description.sdk[:100],
        run_timeout_s=description.run_timeout_s,
        max_parallel_runs=description.max_parallel_runs,
        depends_on=tuple(dict.fromkeys(description.depends_on)),
        cancel_superseded=description.cancel_superseded,
    )
    faults = list(_param_values(spec))
    if faults:
        raise DescriptionError("; ".join(faults[:_SHOWN_FAULTS]))
    try:
        graph.check(spec.jobs)
    except UserError as error:
        raise DescriptionError(error.message) from None
    return spec


def _faults(description: pb.Description) -> Iterator[str]:
    if not description.name:
        yield "the pipeline has no name"
    if len(description.name) > MAX_TEXT or len(description.description) > MAX_TEXT:
        yield f"the pipeline's name or description has more than {MAX_TEXT} characters"
    if len(description.jobs) > MAX_JOBS or len(description.params) > MAX_PARAMS:
        yield f"more than {MAX_JOBS} jobs or {MAX_PARAMS} params"
        return
    if not 0 <= description.run_timeout_s <= MAX_TIMEOUT_S:  # NaN is not either
        yield f"pipeline: run_timeout has to be between 0 and {MAX_TIMEOUT_S:.0f} seconds"
    if description.triggers:
        kinds = sorted({each.kind[:50] for each in description.triggers})
        yield f"pipeline: triggers ({', '.join(kinds[:10])}) are not supported yet"
    yield from _dependency_faults(description.depends_on)
    seen: set[str] = set()
    for param in description.params:
        yield from _param_faults(param, seen)
    for job in description.jobs:
        yield from (f"job {job.name[:100]!r}: {fault}" for fault in (*_job_faults(job), *_not_honoured(job)))


def _dependency_faults(names: Sequence[str]) -> Iterator[str]:
    if len(names) > MAX_DEPENDENCIES:
        yield f"pipeline: depends_on has more than {MAX_DEPENDENCIES} names"
    for name in names[:MAX_DEPENDENCIES]:
        if not _NAME.fullmatch(name):
            yield f"pipeline: depends_on names {name[:100]!r}, which no pipeline can be called"


def _param_faults(param: pb.Param, seen: set[str]) -> Iterator[str]:
    what = f"param {param.name[:100]!r}"
    if not _PARAM_NAME.fullmatch(param.name):
        yield f"{what}: a name is letters, digits and . _ -, at most 100, and begins with a letter"
    if param.name in seen:
        yield f"{what} is there twice"
    seen.add(param.name)
    if param.type not in _PARAM_TYPES:
        yield f"{what}: type {param.type} is not supported yet"
    if param.secret:
        yield f"{what}: secret params are not supported yet"
    if any(len(text) > MAX_TEXT for text in (param.description, param.default, *param.choices)):
        yield f"{what}: a text has more than {MAX_TEXT} characters"


def _job_faults(job: pb.Job) -> Iterator[str]:
    if not _NAME.fullmatch(job.name):
        yield "a name is letters, digits and . _ -, at most 100, and begins with a letter or digit"
    if len(job.title) > MAX_TEXT or len(job.description) > MAX_TEXT:
        yield f"its title or description has more than {MAX_TEXT} characters"
    if not 0 <= job.timeout_s <= MAX_TIMEOUT_S:  # NaN is not either
        yield f"its timeout has to be between 0 and {MAX_TIMEOUT_S:.0f} seconds"
    if job.concurrency_group and not _LABEL.fullmatch(job.concurrency_group):
        yield f"not a concurrency_group: {job.concurrency_group[:100]!r}"
    for label in job.labels:
        if not _LABEL.fullmatch(label):
            yield f"not a label: {label[:100]!r}"
    yield from _need_faults(job)
    if job.HasField("retry"):
        yield from _retry_faults(job)


def _need_faults(job: pb.Job) -> Iterator[str]:
    seen: dict[str, int] = {}
    for need in job.needs:
        if need.on not in _NEED_ON:
            yield f"needing {need.job[:100]!r} on {need.on} is not supported yet"
        elif seen.setdefault(need.job, need.on) != need.on:
            yield f"it needs {need.job[:100]!r} twice, to end in different ways"


def _retry_faults(job: pb.Job) -> Iterator[str]:
    retry = job.retry
    if retry.attempts > MAX_RETRIES:
        yield f"retry: at most {MAX_RETRIES} attempts"
    if not 0 <= retry.backoff_s <= MAX_BACKOFF_S:  # NaN is not either
        yield f"retry: its backoff has to be between 0 and {MAX_BACKOFF_S:.0f} seconds"
    for kind in retry.on:
        if kind not in _KINDS:
            yield f"retry: there is no failure kind {kind[:100]!r}; there are: {', '.join(_KINDS)}"
    if retry.attempts and job.HasField("idempotent") and not job.idempotent:
        yield "retry and idempotent=False contradict each other"


def _not_honoured(job: pb.Job) -> Iterator[str]:
    if job.checkout not in (pb.CHECKOUT_TREE, pb.CHECKOUT_EMPTY):
        yield 'checkout="git" is not supported yet'
    asked = {
        "secrets": bool(job.secrets),
        "resources": bool(job.resources),
        "approval": bool(job.approval),
        "cache_key": bool(job.cache_key),
    }
    for name, wanted in asked.items():
        if wanted:
            yield f"{name} {'are' if name in ('secrets', 'resources') else 'is'} not supported yet"


def _param(param: pb.Param) -> ParamSpec:
    return ParamSpec(
        name=param.name,
        type=_PARAM_TYPES[param.type],
        description=param.description,
        default=param.default if param.HasField("default") else None,
        choices=tuple(param.choices),
        required=param.required,
    )


def _job(job: pb.Job) -> JobSpec:
    return JobSpec(
        name=job.name,
        title=job.title,
        description=job.description,
        needs=tuple(dict.fromkeys(need.job for need in job.needs)),
        timeout_s=job.timeout_s,
        idempotent=job.idempotent if job.HasField("idempotent") else True,
        labels=tuple(dict.fromkeys(job.labels)),
        checkout=job.checkout == pb.CHECKOUT_TREE,
        needs_on={need.job: _NEED_ON[need.on] for need in job.needs if need.on != pb.NEED_ON_SUCCESS},
        retry=_retry(job.retry),
        allow_failure=job.allow_failure,
        group=job.concurrency_group,
    )


def _retry(retry: pb.Retry) -> Retry:
    if not retry.attempts:
        return Retry()
    kinds = tuple(FailureKind(kind) for kind in dict.fromkeys(retry.on))
    return Retry(attempts=retry.attempts, backoff_s=retry.backoff_s, on=kinds)


def _param_values(spec: PipelineSpec) -> Iterator[str]:
    for param in spec.params:
        for choice in param.choices:
            fault = value_fault(param, choice)
            if fault:
                yield f"choice of {fault}"
        fault = value_fault(param, param.default) if param.default is not None else ""
        if fault:
            yield f"default of {fault}"
