"""The messages of `proto/cicd/plugin/v1/pipeline.proto`. Written by `proto/generate.py`; edits are lost."""

# ruff: noqa: A002, RUF023 - the names and the order are those of the contract

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from cicd_sdk._wire import Field, Message


class ParamType(IntEnum):
    """The enum ParamType."""

    UNSPECIFIED = 0
    STRING = 1
    INT = 2
    FLOAT = 3
    BOOL = 4


class Checkout(IntEnum):
    """The enum Checkout."""

    TREE = 0
    GIT = 1
    EMPTY = 2


class NeedOn(IntEnum):
    """The enum NeedOn."""

    SUCCESS = 0
    FAILURE = 1
    ANY = 2


class Status(IntEnum):
    """The enum Status."""

    UNSPECIFIED = 0
    SUCCEEDED = 1
    FAILED = 2
    CANCELLED = 3


class FailureKind(IntEnum):
    """The enum FailureKind."""

    UNSPECIFIED = 0
    USER = 1
    INFRASTRUCTURE = 2
    TIMEOUT = 3
    OUT_OF_MEMORY = 4
    CRASH = 5


class DescribeRequest(Message):
    """The message DescribeRequest."""

    __slots__ = ()


class Param(Message):
    """Values of params travel as text: ints in decimal, bools as "true" or "false"."""

    __slots__ = ("name", "type", "description", "default", "choices", "required", "secret")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "type", "enum", type=ParamType),
        Field(3, "description", "string"),
        Field(4, "default", "string", "optional"),
        Field(5, "choices", "string", "many"),
        Field(6, "required", "bool"),
        Field(7, "secret", "bool"),
    )

    def __init__(
        self,
        *,
        name: str = "",
        type: ParamType | int = ParamType.UNSPECIFIED,
        description: str = "",
        default: str | None = None,
        choices: list[str] | None = None,
        required: bool = False,
        secret: bool = False,
    ) -> None:
        self.name = name
        self.type: ParamType | int = type
        self.description = description
        self.default: str | None = default
        self.choices: list[str] = [] if choices is None else choices
        self.required = required
        self.secret = secret


class Need(Message):
    """The message Need."""

    __slots__ = ("job", "on")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "job", "string"),
        Field(2, "on", "enum", type=NeedOn),
    )

    def __init__(self, *, job: str = "", on: NeedOn | int = NeedOn.SUCCESS) -> None:
        self.job = job
        self.on: NeedOn | int = on


class Retry(Message):
    """The message Retry."""

    __slots__ = ("attempts", "backoff_s", "on")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "attempts", "uint32"),
        Field(2, "backoff_s", "double"),
        Field(3, "on", "string", "many"),
    )

    def __init__(self, *, attempts: int = 0, backoff_s: float = 0.0, on: list[str] | None = None) -> None:
        self.attempts = attempts
        self.backoff_s = backoff_s
        self.on: list[str] = [] if on is None else on


class Job(Message):
    """The message Job."""

    __slots__ = (
        "name",
        "title",
        "needs",
        "secrets",
        "timeout_s",
        "retry",
        "idempotent",
        "labels",
        "resources",
        "concurrency_group",
        "allow_failure",
        "approval",
        "cache_key",
        "checkout",
        "description",
    )
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "title", "string"),
        Field(3, "needs", "message", "many", type=Need),
        Field(4, "secrets", "string", "many"),
        Field(5, "timeout_s", "double"),
        Field(6, "retry", "message", type=Retry),
        Field(7, "idempotent", "bool", "optional"),
        Field(8, "labels", "string", "many"),
        Field(9, "resources", "string", "map"),
        Field(10, "concurrency_group", "string"),
        Field(11, "allow_failure", "bool"),
        Field(12, "approval", "string"),
        Field(13, "cache_key", "string"),
        Field(14, "checkout", "enum", type=Checkout),
        Field(15, "description", "string"),
    )

    def __init__(
        self,
        *,
        name: str = "",
        title: str = "",
        needs: list[Need] | None = None,
        secrets: list[str] | None = None,
        timeout_s: float = 0.0,
        retry: Retry | None = None,
        idempotent: bool | None = None,
        labels: list[str] | None = None,
        resources: dict[str, str] | None = None,
        concurrency_group: str = "",
        allow_failure: bool = False,
        approval: str = "",
        cache_key: str = "",
        checkout: Checkout | int = Checkout.TREE,
        description: str = "",
    ) -> None:
        self.name = name
        self.title = title
        self.needs: list[Need] = [] if needs is None else needs
        self.secrets: list[str] = [] if secrets is None else secrets
        self.timeout_s = timeout_s
        self.retry: Retry | None = retry
        self.idempotent: bool | None = idempotent
        self.labels: list[str] = [] if labels is None else labels
        self.resources: dict[str, str] = {} if resources is None else resources
        self.concurrency_group = concurrency_group
        self.allow_failure = allow_failure
        self.approval = approval
        self.cache_key = cache_key
        self.checkout: Checkout | int = checkout
        self.description = description


class Trigger(Message):
    """The message Trigger."""

    __slots__ = ("kind", "settings")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "kind", "string"),
        Field(2, "settings", "string", "map"),
    )

    def __init__(self, *, kind: str = "", settings: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.settings: dict[str, str] = {} if settings is None else settings


class Description(Message):
    """The message Description."""

    __slots__ = (
        "name",
        "description",
        "params",
        "jobs",
        "depends_on",
        "triggers",
        "max_parallel_runs",
        "features",
        "sdk",
        "run_timeout_s",
        "cancel_superseded",
    )
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "description", "string"),
        Field(3, "params", "message", "many", type=Param),
        Field(4, "jobs", "message", "many", type=Job),
        Field(5, "depends_on", "string", "many"),
        Field(6, "triggers", "message", "many", type=Trigger),
        Field(7, "max_parallel_runs", "uint32"),
        Field(8, "features", "string", "many"),
        Field(9, "sdk", "string"),
        Field(10, "run_timeout_s", "double"),
        Field(12, "cancel_superseded", "bool"),
    )

    def __init__(
        self,
        *,
        name: str = "",
        description: str = "",
        params: list[Param] | None = None,
        jobs: list[Job] | None = None,
        depends_on: list[str] | None = None,
        triggers: list[Trigger] | None = None,
        max_parallel_runs: int = 0,
        features: list[str] | None = None,
        sdk: str = "",
        run_timeout_s: float = 0.0,
        cancel_superseded: bool = False,
    ) -> None:
        self.name = name
        self.description = description
        self.params: list[Param] = [] if params is None else params
        self.jobs: list[Job] = [] if jobs is None else jobs
        self.depends_on: list[str] = [] if depends_on is None else depends_on
        self.triggers: list[Trigger] = [] if triggers is None else triggers
        self.max_parallel_runs = max_parallel_runs
        self.features: list[str] = [] if features is None else features
        self.sdk = sdk
        self.run_timeout_s = run_timeout_s
        self.cancel_superseded = cancel_superseded


class Git(Message):
    """The message Git."""

    __slots__ = ("url", "ref", "commit")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "url", "string"),
        Field(2, "ref", "string"),
        Field(3, "commit", "string"),
    )

    def __init__(self, *, url: str = "", ref: str = "", commit: str = "") -> None:
        self.url = url
        self.ref = ref
        self.commit = commit


class Outputs(Message):
    """The message Outputs."""

    __slots__ = ("values",)
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(1, "values", "string", "map"),)

    def __init__(self, *, values: dict[str, str] | None = None) -> None:
        self.values: dict[str, str] = {} if values is None else values


class RunJobRequest(Message):
    """The message RunJobRequest."""

    __slots__ = (
        "run",
        "job",
        "attempt",
        "workspace",
        "temp_dir",
        "params",
        "secrets",
        "needs",
        "deadline_s",
        "git",
        "fence",
        "traceparent",
        "features",
        "pipeline",
        "run_number",
    )
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "run", "string"),
        Field(2, "job", "string"),
        Field(3, "attempt", "uint32"),
        Field(4, "workspace", "string"),
        Field(5, "temp_dir", "string"),
        Field(6, "params", "string", "map"),
        Field(7, "secrets", "string", "map"),
        Field(8, "needs", "message", "map", type=Outputs),
        Field(9, "deadline_s", "double"),
        Field(10, "git", "message", type=Git),
        Field(11, "fence", "string"),
        Field(12, "traceparent", "string"),
        Field(13, "features", "string", "many"),
        Field(14, "pipeline", "string"),
        Field(15, "run_number", "uint64"),
    )

    def __init__(
        self,
        *,
        run: str = "",
        job: str = "",
        attempt: int = 0,
        workspace: str = "",
        temp_dir: str = "",
        params: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
        needs: dict[str, Outputs] | None = None,
        deadline_s: float = 0.0,
        git: Git | None = None,
        fence: str = "",
        traceparent: str = "",
        features: list[str] | None = None,
        pipeline: str = "",
        run_number: int = 0,
    ) -> None:
        self.run = run
        self.job = job
        self.attempt = attempt
        self.workspace = workspace
        self.temp_dir = temp_dir
        self.params: dict[str, str] = {} if params is None else params
        self.secrets: dict[str, str] = {} if secrets is None else secrets
        self.needs: dict[str, Outputs] = {} if needs is None else needs
        self.deadline_s = deadline_s
        self.git: Git | None = git
        self.fence = fence
        self.traceparent = traceparent
        self.features: list[str] = [] if features is None else features
        self.pipeline = pipeline
        self.run_number = run_number


class Started(Message):
    """The message Started."""

    __slots__ = ()


class LogBatch(Message):
    """The message LogBatch."""

    __slots__ = ("lines",)
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(1, "lines", "bytes", "many"),)

    def __init__(self, *, lines: list[bytes] | None = None) -> None:
        self.lines: list[bytes] = [] if lines is None else lines


class Group(Message):
    """The message Group."""

    __slots__ = ("title", "end")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "title", "string"),
        Field(2, "end", "bool"),
    )

    def __init__(self, *, title: str = "", end: bool = False) -> None:
        self.title = title
        self.end = end


class Progress(Message):
    """The message Progress."""

    __slots__ = ("fraction", "text")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "fraction", "double"),
        Field(2, "text", "string"),
    )

    def __init__(self, *, fraction: float = 0.0, text: str = "") -> None:
        self.fraction = fraction
        self.text = text


class Output(Message):
    """The message Output."""

    __slots__ = ("name", "value")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "value", "string"),
    )

    def __init__(self, *, name: str = "", value: str = "") -> None:
        self.name = name
        self.value = value


class Artifact(Message):
    """The message Artifact."""

    __slots__ = ("name", "path")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "path", "string"),
    )

    def __init__(self, *, name: str = "", path: str = "") -> None:
        self.name = name
        self.path = path


class Annotation(Message):
    """The message Annotation."""

    __slots__ = ("level", "path", "line", "text")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "level", "string"),
        Field(2, "path", "string"),
        Field(3, "line", "uint32"),
        Field(4, "text", "string"),
    )

    def __init__(self, *, level: str = "", path: str = "", line: int = 0, text: str = "") -> None:
        self.level = level
        self.path = path
        self.line = line
        self.text = text


class Metric(Message):
    """The message Metric."""

    __slots__ = ("name", "value", "unit")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "name", "string"),
        Field(2, "value", "double"),
        Field(3, "unit", "string"),
    )

    def __init__(self, *, name: str = "", value: float = 0.0, unit: str = "") -> None:
        self.name = name
        self.value = value
        self.unit = unit


class Spawn(Message):
    """The message Spawn."""

    __slots__ = ("jobs",)
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(1, "jobs", "message", "many", type=Job),)

    def __init__(self, *, jobs: list[Job] | None = None) -> None:
        self.jobs: list[Job] = [] if jobs is None else jobs


class Ask(Message):
    """The message Ask."""

    __slots__ = ("id", "text", "form", "timeout_s")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "id", "string"),
        Field(2, "text", "string"),
        Field(3, "form", "message", "many", type=Param),
        Field(4, "timeout_s", "double"),
    )

    def __init__(
        self, *, id: str = "", text: str = "", form: list[Param] | None = None, timeout_s: float = 0.0
    ) -> None:
        self.id = id
        self.text = text
        self.form: list[Param] = [] if form is None else form
        self.timeout_s = timeout_s


class Heartbeat(Message):
    """The message Heartbeat."""

    __slots__ = ()


class Summary(Message):
    """The message Summary."""

    __slots__ = ("markdown",)
    FIELDS: ClassVar[tuple[Field, ...]] = (Field(1, "markdown", "string"),)

    def __init__(self, *, markdown: str = "") -> None:
        self.markdown = markdown


class Result(Message):
    """The message Result."""

    __slots__ = ("status", "message", "failure_kind", "exit_code", "outputs", "traceback")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "status", "enum", type=Status),
        Field(2, "message", "string"),
        Field(3, "failure_kind", "enum", type=FailureKind),
        Field(4, "exit_code", "int32"),
        Field(5, "outputs", "string", "map"),
        Field(6, "traceback", "string"),
    )

    def __init__(
        self,
        *,
        status: Status | int = Status.UNSPECIFIED,
        message: str = "",
        failure_kind: FailureKind | int = FailureKind.UNSPECIFIED,
        exit_code: int = 0,
        outputs: dict[str, str] | None = None,
        traceback: str = "",
    ) -> None:
        self.status: Status | int = status
        self.message = message
        self.failure_kind: FailureKind | int = failure_kind
        self.exit_code = exit_code
        self.outputs: dict[str, str] = {} if outputs is None else outputs
        self.traceback = traceback


class JobEvent(Message):
    """The message JobEvent."""

    __slots__ = ("seq", "time", "event")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "seq", "uint64"),
        Field(2, "time", "double"),
        Field(3, "event", "message", "oneof", type=Started),
        Field(4, "event", "message", "oneof", type=LogBatch),
        Field(5, "event", "message", "oneof", type=Group),
        Field(6, "event", "message", "oneof", type=Progress),
        Field(7, "event", "message", "oneof", type=Output),
        Field(8, "event", "message", "oneof", type=Artifact),
        Field(9, "event", "message", "oneof", type=Annotation),
        Field(10, "event", "message", "oneof", type=Metric),
        Field(11, "event", "message", "oneof", type=Spawn),
        Field(12, "event", "message", "oneof", type=Ask),
        Field(13, "event", "message", "oneof", type=Heartbeat),
        Field(14, "event", "message", "oneof", type=Summary),
        Field(15, "event", "message", "oneof", type=Result),
    )

    def __init__(
        self,
        *,
        seq: int = 0,
        time: float = 0.0,
        event: Result
        | Summary
        | Heartbeat
        | Ask
        | Spawn
        | Metric
        | Annotation
        | Artifact
        | Output
        | Progress
        | Group
        | LogBatch
        | Started
        | None = None,
    ) -> None:
        self.seq = seq
        self.time = time
        self.event: (
            Result
            | Summary
            | Heartbeat
            | Ask
            | Spawn
            | Metric
            | Annotation
            | Artifact
            | Output
            | Progress
            | Group
            | LogBatch
            | Started
            | None
        ) = event


class CancelRequest(Message):
    """The message CancelRequest."""

    __slots__ = ("grace_s", "reason")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "grace_s", "double"),
        Field(2, "reason", "string"),
    )

    def __init__(self, *, grace_s: float = 0.0, reason: str = "") -> None:
        self.grace_s = grace_s
        self.reason = reason


class CancelResponse(Message):
    """The message CancelResponse."""

    __slots__ = ()


class ReplyRequest(Message):
    """The message ReplyRequest."""

    __slots__ = ("ask", "values", "by")
    FIELDS: ClassVar[tuple[Field, ...]] = (
        Field(1, "ask", "string"),
        Field(2, "values", "string", "map"),
        Field(3, "by", "string"),
    )

    def __init__(self, *, ask: str = "", values: dict[str, str] | None = None, by: str = "") -> None:
        self.ask = ask
        self.values: dict[str, str] = {} if values is None else values
        self.by = by


class ReplyResponse(Message):
    """The message ReplyResponse."""

    __slots__ = ()
