"""A context for tests of jobs: `test(FakeContext())` calls a job as a plain function and shows what it did."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from cicd_sdk._cancellation import Cancellation
from cicd_sdk._command import Completed
from cicd_sdk._context import Context, Git
from cicd_sdk._wire import Message
from cicd_sdk.errors import CommandError

ALL_FEATURES = ("outputs", "log", "group", "progress", "annotations", "metrics", "summary", "artifacts", "mask")


class _Recorder:
    def __init__(self, features: Collection[str]) -> None:
        self.features = features
        self.events: list[Message] = []
        self.logs: list[tuple[str, str]] = []
        self.groups: list[str] = []
        self.masked: list[str] = []

    def event(self, event: Message) -> None:
        self.events.append(event)

    def log(self, level: str, text: str) -> None:
        self.logs.append((level, text))

    def mask(self, value: str) -> None:
        self.masked.append(value)

    def group(self, title: str) -> None:
        self.groups.append(title)

    def group_end(self) -> None:
        pass


class FakeContext(Context):
    """A context that runs nothing and remembers everything.

    Args:
        params: with their final types.
        needs: outputs of the jobs before.
        secrets: by name.
        workspace: default: a new empty folder.
        features: what the host offers; default: everything.
        on_run: called with each command; returns its exit code, its stdout, or a `Completed`. Default: every command
        succeeds.

    Attributes:
        commands: what `run` was called with, in order.
        logs: (level, text) of each `log`.
        groups: the title of each `group`.
        masked: what `mask` was called with.
        events: the messages of everything else.
        outputs: what `output` set.
    """

    def __init__(
        self,
        *,
        job: str = "job",
        params: Mapping[str, Any] | None = None,
        needs: Mapping[str, Mapping[str, str]] | None = None,
        secrets: Mapping[str, str] | None = None,
        workspace: Path | None = None,
        git: Git | None = None,
        features: Collection[str] = ALL_FEATURES,
        on_run: Callable[[tuple[str, ...]], Completed | str | int | None] | None = None,
    ) -> None:
        self._recorder = _Recorder(features)
        self._on_run = on_run
        self.commands: list[tuple[str, ...]] = []
        if workspace is None:
            workspace = Path(tempfile.mkdtemp(prefix="fake-context-"))
            # Goes with the context. TemporaryDirectory would warn at that, and a test wants nothing to close.
            weakref.finalize(self, shutil.rmtree, workspace, ignore_errors=True)
        super().__init__(
            job=job,
            sink=self._recorder,
            cancellation=Cancellation(),
            run_id="fake",
            workspace=workspace,
            temp_dir=workspace,
            params=params,
            needs=needs,
            secrets=secrets,
            git=git,
        )

    @property
    def logs(self) -> list[tuple[str, str]]:
        """(level, text) of each `log`."""
        return self._recorder.logs

    @property
    def groups(self) -> list[str]:
        """The title of each `group`."""
        return self._recorder.groups

    @property
    def masked(self) -> list[str]:
        """What `mask` was called with."""
        return self._recorder.masked

    @property
    def events(self) -> list[Message]:
        """The messages of everything that is no log line."""
        return self._recorder.events

    @property
    def outputs(self) -> dict[str, str]:
        """What `output` set."""
        return self._outputs

    def cancel(self) -> None:
        """Raise the flag `cancelled`, as a host does."""
        self._cancellation.flag.set()

    def run(self, *argv: str | Path, check: bool = True, **_options: Any) -> Completed:
        """Remember the command; answer as `on_run` says.

        Raises:
            CommandError: the answer is a failure, and `check` was not switched off.
        """
        command = tuple(str(part) for part in argv)
        self.commands.append(command)
        answer = self._on_run(command) if self._on_run is not None else None
        if not isinstance(answer, Completed):
            answer = Completed(answer) if isinstance(answer, int) else Completed(0, answer or "")
        if check and answer.returncode:
            raise CommandError(command, answer.returncode, answer.stdout)
        return answer
