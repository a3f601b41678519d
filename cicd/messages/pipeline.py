"""Pipelines: what a plugin describes itself as, where its code comes from, and how its builds went."""

from enum import StrEnum

from cicd.messages.base import Digest, Message, PipelineId, RunId
from cicd.messages.run import FailureKind, RunState


class ParamType(StrEnum):
    """Types of a run's parameters; values travel as text."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"


class ParamSpec(Message, frozen=True):
    """One parameter that a run may be given."""

    name: str
    type: ParamType = ParamType.STRING
    description: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


class NeedOn(StrEnum):
    """How a job has to end for one that needs it."""

    SUCCESS = "success"
    """Succeeded, or failed and was allowed to."""
    FAILURE = "failure"
    """Failed, timed out or was poisoned, allowed or not."""
    ANY = "any"
    """However: skipped or cancelled, too."""


class Retry(Message, frozen=True):
    """How often a job that failed is tried again. What the infrastructure loses is none of it.

    Attributes:
        attempts: tries after the first, 0 to 100.
        backoff_s: seconds of the wait before the first of them; it doubles with each, up to an hour or itself.
        on: kinds of failure that are tried again; empty: user, timeout, out of memory and crash. Infrastructure
            failures are tried again in any case, and never count.
    """

    attempts: int = 0
    backoff_s: float = 0.0
    on: tuple[FailureKind, ...] = ()


class JobSpec(Message, frozen=True):
    """One job of a pipeline, as its plugin described it and this master honours it.

    Attributes:
        name: its identity within the pipeline.
        needs: names of the jobs that must have ended before, each once.
        needs_on: how those must have ended that need not have succeeded.
        timeout_s: seconds that one attempt may run; 0: the master's default.
        idempotent: whether it may be run again when its minion was lost.
        labels: what a minion must carry to be given this job.
        checkout: whether the workspace starts as the commit's tree (else empty).
        retry: when it is tried again; never with `idempotent=False`.
        allow_failure: whether its failure counts as fine, for the run and for jobs that need its success.
        group: at most one job of a group runs at a time, in all runs of all pipelines; empty: none.
    """

    name: str
    title: str = ""
    description: str = ""
    needs: tuple[str, ...] = ()
    timeout_s: float = 0.0
    idempotent: bool = True
    labels: tuple[str, ...] = ()
    checkout: bool = True
    needs_on: dict[str, NeedOn] = {}
    retry: Retry = Retry()
    allow_failure: bool = False
    group: str = ""


class PipelineSpec(Message, frozen=True):
    """What Describe answered, validated. Immutable: it belongs to a plugin's digest.

    Attributes:
        run_timeout_s: seconds that a run may take from the start of its first job; 0: the master's default.
        max_parallel_runs: so many runs may be active at once; 0: any number.
        depends_on: names of pipelines whose active runs a run of this one waits for.
        cancel_superseded: whether a new run cancels the older ones of the same ref.
    """

    name: str
    description: str = ""
    params: tuple[ParamSpec, ...] = ()
    jobs: tuple[JobSpec, ...] = ()
    sdk: str = ""
    run_timeout_s: float = 0.0
    max_parallel_runs: int = 0
    depends_on: tuple[str, ...] = ()
    cancel_superseded: bool = False


class Source(Message, frozen=True):
    """Where a pipeline's code comes from.

    Attributes:
        repository: the URL to clone, in its long form (https://..., ssh://..., or a local path where allowed).
        ref: branch, tag or commit; empty: the repository's default branch.
        path: folder of the pipeline inside the repository.
    """

    repository: str
    ref: str = ""
    path: str = ".cicd"


class PluginRecord(Message, frozen=True):
    """A compiled plugin, kept by digest and never changed.

    Attributes:
        digest: sha256 of the artifact (`plugin.tar`).
        size_bytes: the artifact's size.
        source_digest: sha256 of the commit's packed tree (`source.tar`), what workspaces start as.
        source_size_bytes: its size.
        commit: the commit it was built from, 40 hexadecimal characters.
        language: `python`.
        requires_python: the pipeline's own `requires-python`, may be empty.
        tags: what a minion must offer to run it, such as `cp311-linux_x86_64`; empty: any minion.
        created_s: wall time, seconds since the epoch.
    """

    digest: Digest
    size_bytes: int
    source_digest: Digest
    source_size_bytes: int
    commit: str
    language: str
    spec: PipelineSpec
    requires_python: str = ""
    tags: tuple[str, ...] = ()
    created_s: float = 0.0


class BuildState(StrEnum):
    """State of a pipeline's newest build."""

    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class PipelineRecord(Message, frozen=True):
    """A pipeline as it is stored.

    Attributes:
        plugin: digest of the last good plugin, in service; None before the first good build.
        source_digest: packed tree of the commit in service. Together with `plugin` it is what a new run is pinned to.
        commit: commit in service.
        build: number of the newest build, counted from 1; its log is kept by that number.
        build_state: how the newest build stands. A failed one leaves `plugin` as it was.
        build_error: one line for people when the newest build failed.
    """

    id: PipelineId
    name: str
    source: Source
    description: str = ""
    created_s: float = 0.0
    modified_s: float = 0.0
    created_by: str = ""
    plugin: Digest | None = None
    source_digest: Digest | None = None
    commit: str = ""
    build: int = 0
    build_state: BuildState = BuildState.BUILDING
    build_error: str = ""


class LastRun(Message, frozen=True):
    """The newest run of a pipeline: kept beside it, so that starting a run never rewrites the pipeline.

    Attributes:
        ended_number: the newest run that has succeeded or failed; 0: none has. Cancelled runs say nothing.
        ended_state: how that one ended.
    """

    run: RunId
    number: int
    by: str
    created_s: float
    ended_number: int = 0
    ended_state: RunState | None = None
