"""Conversation between the master and its build host, the single-threaded process that runs git, uv and Describe.

Over a socketpair, framed like the jobhost's. One build at a time per pipeline; several pipelines side by side.
"""

from cicd.messages.base import PipelineId, Wire
from cicd.messages.pipeline import PluginRecord, Source


class Build(Wire, frozen=True):
    """Clone, pack, compile and describe. The log grows in `log_path` while it runs."""

    pipeline: PipelineId
    name: str
    number: int
    source: Source
    log_path: str


class Built(Wire, frozen=True):
    """A good build: artifact and source tree are in place under the data folder."""

    pipeline: PipelineId
    number: int
    plugin: PluginRecord


class BuildFailed(Wire, frozen=True):
    """A failed build; `error` is one line for people, the log has the rest.

    Attributes:
        code: `source` (git), `build` (uv, files), `describe` (the plugin), `refused` (host not allowed), `internal`.
    """

    pipeline: PipelineId
    number: int
    code: str
    error: str


class StopBuild(Wire, frozen=True):
    """End a build that is no longer wanted (its pipeline was deleted)."""

    pipeline: PipelineId


TO_BUILD_HOST: tuple[type[Wire], ...] = (Build, StopBuild)
TO_COMPILER: tuple[type[Wire], ...] = (Built, BuildFailed)
