"""Written by `proto/generate.py` from `proto/cicd/plugin/v1/pipeline.proto`; edits are lost."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.internal import containers
from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper
from google.protobuf.message import Message

DESCRIPTOR: FileDescriptor

ParamType: _EnumTypeWrapper[int]
PARAM_TYPE_UNSPECIFIED: int
PARAM_TYPE_STRING: int
PARAM_TYPE_INT: int
PARAM_TYPE_FLOAT: int
PARAM_TYPE_BOOL: int
Checkout: _EnumTypeWrapper[int]
CHECKOUT_TREE: int
CHECKOUT_GIT: int
CHECKOUT_EMPTY: int
NeedOn: _EnumTypeWrapper[int]
NEED_ON_SUCCESS: int
NEED_ON_FAILURE: int
NEED_ON_ANY: int
Status: _EnumTypeWrapper[int]
STATUS_UNSPECIFIED: int
STATUS_SUCCEEDED: int
STATUS_FAILED: int
STATUS_CANCELLED: int
FailureKind: _EnumTypeWrapper[int]
FAILURE_KIND_UNSPECIFIED: int
FAILURE_KIND_USER: int
FAILURE_KIND_INFRASTRUCTURE: int
FAILURE_KIND_TIMEOUT: int
FAILURE_KIND_OUT_OF_MEMORY: int
FAILURE_KIND_CRASH: int


class DescribeRequest(Message):
    def __init__(
        self,
    ) -> None: ...


class Param(Message):
    name: str
    type: int
    description: str
    default: str
    choices: containers.RepeatedScalarFieldContainer[str]
    required: bool
    secret: bool

    def __init__(
        self,
        *,
        name: str | None = ...,
        type: int | None = ...,
        description: str | None = ...,
        default: str | None = ...,
        choices: Iterable[str] | None = ...,
        required: bool | None = ...,
        secret: bool | None = ...,
    ) -> None: ...


class Need(Message):
    job: str
    on: int

    def __init__(self, *, job: str | None = ..., on: int | None = ...) -> None: ...


class Retry(Message):
    attempts: int
    backoff_s: float
    on: containers.RepeatedScalarFieldContainer[str]

    def __init__(
        self, *, attempts: int | None = ..., backoff_s: float | None = ..., on: Iterable[str] | None = ...
    ) -> None: ...


class Job(Message):
    name: str
    title: str
    needs: containers.RepeatedCompositeFieldContainer[Need]
    secrets: containers.RepeatedScalarFieldContainer[str]
    timeout_s: float
    retry: Retry
    idempotent: bool
    labels: containers.RepeatedScalarFieldContainer[str]
    resources: containers.ScalarMap[str, str]
    concurrency_group: str
    allow_failure: bool
    approval: str
    cache_key: str
    checkout: int
    description: str

    def __init__(
        self,
        *,
        name: str | None = ...,
        title: str | None = ...,
        needs: Iterable[Need] | None = ...,
        secrets: Iterable[str] | None = ...,
        timeout_s: float | None = ...,
        retry: Retry | None = ...,
        idempotent: bool | None = ...,
        labels: Iterable[str] | None = ...,
        resources: Mapping[str, str] | None = ...,
        concurrency_group: str | None = ...,
        allow_failure: bool | None = ...,
        approval: str | None = ...,
        cache_key: str | None = ...,
        checkout: int | None = ...,
        description: str | None = ...,
    ) -> None: ...


class Trigger(Message):
    kind: str
    settings: containers.ScalarMap[str, str]

    def __init__(self, *, kind: str | None = ..., settings: Mapping[str, str] | None = ...) -> None: ...


class Description(Message):
    name: str
    description: str
    params: containers.RepeatedCompositeFieldContainer[Param]
    jobs: containers.RepeatedCompositeFieldContainer[Job]
    depends_on: containers.RepeatedScalarFieldContainer[str]
    triggers: containers.RepeatedCompositeFieldContainer[Trigger]
    max_parallel_runs: int
    features: containers.RepeatedScalarFieldContainer[str]
    sdk: str
    run_timeout_s: float
    cancel_superseded: bool

    def __init__(
        self,
        *,
        name: str | None = ...,
        description: str | None = ...,
        params: Iterable[Param] | None = ...,
        jobs: Iterable[Job] | None = ...,
        depends_on: Iterable[str] | None = ...,
        triggers: Iterable[Trigger] | None = ...,
        max_parallel_runs: int | None = ...,
        features: Iterable[str] | None = ...,
        sdk: str | None = ...,
        run_timeout_s: float | None = ...,
        cancel_superseded: bool | None = ...,
    ) -> None: ...


class Git(Message):
    url: str
    ref: str
    commit: str

    def __init__(self, *, url: str | None = ..., ref: str | None = ..., commit: str | None = ...) -> None: ...


class Outputs(Message):
    values: containers.ScalarMap[str, str]

    def __init__(self, *, values: Mapping[str, str] | None = ...) -> None: ...


class RunJobRequest(Message):
    run: str
    job: str
    attempt: int
    workspace: str
    temp_dir: str
    params: containers.ScalarMap[str, str]
    secrets: containers.ScalarMap[str, str]
    needs: containers.MessageMap[str, Outputs]
    deadline_s: float
    git: Git
    fence: str
    traceparent: str
    features: containers.RepeatedScalarFieldContainer[str]
    pipeline: str
    run_number: int

    def __init__(
        self,
        *,
        run: str | None = ...,
        job: str | None = ...,
        attempt: int | None = ...,
        workspace: str | None = ...,
        temp_dir: str | None = ...,
        params: Mapping[str, str] | None = ...,
        secrets: Mapping[str, str] | None = ...,
        needs: Mapping[str, Outputs] | None = ...,
        deadline_s: float | None = ...,
        git: Git | None = ...,
        fence: str | None = ...,
        traceparent: str | None = ...,
        features: Iterable[str] | None = ...,
        pipeline: str | None = ...,
        run_number: int | None = ...,
    ) -> None: ...


class Started(Message):
    def __init__(
        self,
    ) -> None: ...


class LogBatch(Message):
    lines: containers.RepeatedScalarFieldContainer[bytes]

    def __init__(self, *, lines: Iterable[bytes] | None = ...) -> None: ...


class Group(Message):
    title: str
    end: bool

    def __init__(self, *, title: str | None = ..., end: bool | None = ...) -> None: ...


class Progress(Message):
    fraction: float
    text: str

    def __init__(self, *, fraction: float | None = ..., text: str | None = ...) -> None: ...


class Output(Message):
    name: str
    value: str

    def __init__(self, *, name: str | None = ..., value: str | None = ...) -> None: ...


class Artifact(Message):
    name: str
    path: str

    def __init__(self, *, name: str | None = ..., path: str | None = ...) -> None: ...


class Annotation(Message):
    level: str
    path: str
    line: int
    text: str

    def __init__(
        self, *, level: str | None = ..., path: str | None = ..., line: int | None = ..., text: str | None = ...
    ) -> None: ...


class Metric(Message):
    name: str
    value: float
    unit: str

    def __init__(self, *, name: str | None = ..., value: float | None = ..., unit: str | None = ...) -> None: ...


class Spawn(Message):
    jobs: containers.RepeatedCompositeFieldContainer[Job]

    def __init__(self, *, jobs: Iterable[Job] | None = ...) -> None: ...


class Ask(Message):
    id: str
    text: str
    form: containers.RepeatedCompositeFieldContainer[Param]
    timeout_s: float

    def __init__(
        self,
        *,
        id: str | None = ...,
        text: str | None = ...,
        form: Iterable[Param] | None = ...,
        timeout_s: float | None = ...,
    ) -> None: ...


class Heartbeat(Message):
    def __init__(
        self,
    ) -> None: ...


class Summary(Message):
    markdown: str

    def __init__(self, *, markdown: str | None = ...) -> None: ...


class Result(Message):
    status: int
    message: str
    failure_kind: int
    exit_code: int
    outputs: containers.ScalarMap[str, str]
    traceback: str

    def __init__(
        self,
        *,
        status: int | None = ...,
        message: str | None = ...,
        failure_kind: int | None = ...,
        exit_code: int | None = ...,
        outputs: Mapping[str, str] | None = ...,
        traceback: str | None = ...,
    ) -> None: ...


class JobEvent(Message):
    seq: int
    time: float
    started: Started
    log: LogBatch
    group: Group
    progress: Progress
    output: Output
    artifact: Artifact
    annotation: Annotation
    metric: Metric
    spawn: Spawn
    ask: Ask
    heartbeat: Heartbeat
    summary: Summary
    result: Result

    def __init__(
        self,
        *,
        seq: int | None = ...,
        time: float | None = ...,
        started: Started | None = ...,
        log: LogBatch | None = ...,
        group: Group | None = ...,
        progress: Progress | None = ...,
        output: Output | None = ...,
        artifact: Artifact | None = ...,
        annotation: Annotation | None = ...,
        metric: Metric | None = ...,
        spawn: Spawn | None = ...,
        ask: Ask | None = ...,
        heartbeat: Heartbeat | None = ...,
        summary: Summary | None = ...,
        result: Result | None = ...,
    ) -> None: ...
    def WhichOneof(
        self, oneof_group: Literal["event"] | Any
    ) -> (
        Literal[
            "started",
            "log",
            "group",
            "progress",
            "output",
            "artifact",
            "annotation",
            "metric",
            "spawn",
            "ask",
            "heartbeat",
            "summary",
            "result",
        ]
        | None
    ): ...


class CancelRequest(Message):
    grace_s: float
    reason: str

    def __init__(self, *, grace_s: float | None = ..., reason: str | None = ...) -> None: ...


class CancelResponse(Message):
    def __init__(
        self,
    ) -> None: ...


class ReplyRequest(Message):
    ask: str
    values: containers.ScalarMap[str, str]
    by: str

    def __init__(
        self, *, ask: str | None = ..., values: Mapping[str, str] | None = ..., by: str | None = ...
    ) -> None: ...


class ReplyResponse(Message):
    def __init__(
        self,
    ) -> None: ...
