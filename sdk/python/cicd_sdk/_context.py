"""What a job is given: who it is, what came before it, and what it can do."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from cicd_sdk import _command
from cicd_sdk import _messages as m
from cicd_sdk._cancellation import Cancellation
from cicd_sdk._command import Completed
from cicd_sdk._duration import seconds
from cicd_sdk._latch import Latch
from cicd_sdk._param import Params, Scalar, as_text
from cicd_sdk._sink import Sink
from cicd_sdk._wire import Message
from cicd_sdk.errors import FeatureUnavailableError

if TYPE_CHECKING:
    from pathlib import Path  # slow to import, and only named here

LEVELS = ("debug", "info", "warning", "error")


class Git:
    """Where the source came from: `url`, `ref` (a branch or tag), `commit`; empty where that is not known."""

    __slots__ = ("commit", "ref", "url")

    def __init__(self, url: str = "", ref: str = "", commit: str = "") -> None:
        self.url = url
        self.ref = ref
        self.commit = commit

    def __repr__(self) -> str:
        return f"Git(url={self.url!r}, ref={self.ref!r}, commit={self.commit!r})"


class Secrets(dict[str, str]):
    """The secrets that a job may see, by name. Its text form shows names only."""

    def __missing__(self, name: str) -> str:
        raise KeyError(
            f"this job was given no secret {name!r}; it has to be named in secrets=[...] and known to the host"
        )

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self)})"


class Context:
    """What a job is given. Jobs get theirs from the host; tests make a `cicd_sdk.testing.FakeContext`.

    Attributes:
        run_id: names the run.
        run_number: counts the runs of a pipeline from 1; 0 by hand.
        job: the job's name.
        attempt: from 1.
        workspace: the folder that the job starts in.
        temp_dir: a folder of its own, removed afterwards; TMPDIR too.
        params: the run's params by name, each of its declared type.
        needs: the outputs of the jobs that this one needs: `ctx.needs["build"]["version"]`.
        secrets: those that the job named.
        git: where the source came from.
        cancelled: a flag (`is_set()`, `wait(seconds)`) that goes up when the job has to stop. A job that never looks
            at it is interrupted by `Cancelled`.
    """

    def __init__(
        self,
        *,
        job: str,
        sink: Sink,
        cancellation: Cancellation,
        run_id: str = "",
        run_number: int = 0,
        attempt: int = 1,
        workspace: Path,
        temp_dir: Path,
        params: Mapping[str, Any] | None = None,
        needs: Mapping[str, Mapping[str, str]] | None = None,
        secrets: Mapping[str, str] | None = None,
        git: Git | None = None,
        deadline_s: float = 0.0,
    ) -> None:
        self.run_id = run_id
        self.run_number = run_number
        self.job = job
        self.attempt = attempt
        self.workspace = workspace
        self.temp_dir = temp_dir
        self.params = Params(params or {})
        self.needs = {name: dict(outputs) for name, outputs in (needs or {}).items()}
        self.secrets = Secrets(secrets or {})
        self.git = git or Git()
        self._sink = sink
        self._cancellation = cancellation
        self._outputs: dict[str, str] = {}
        self._deadline = time.monotonic() + deadline_s if deadline_s else None

    @property
    def cancelled(self) -> Latch:
        """The flag that goes up when the job has to stop."""
        return self._cancellation.flag

    @property
    def deadline_s(self) -> float | None:
        """What is left of the job's time, in seconds; None when it has no end. The host ends the job then."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def run(
        self,
        *argv: str | Path,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        capture: bool = False,
        timeout: str | float | None = None,
        input: str | bytes | None = None,  # noqa: A002 - as in subprocess
    ) -> Completed:
        """Run a command and wait for its end. Its output is the job's, as it comes.

        Args:
            argv: the command and its arguments; no shell is involved.
            cwd: relative to the workspace; default: the workspace.
            env: added to the environment.
            check: raise when it fails.
            capture: return its stdout instead of showing it.
            timeout: seconds, or a text like "5m"; then its process group is killed.
            input: what it reads; default: nothing.

        Raises:
            CommandError: it failed, or cannot be run.
            CommandTimeoutError: it did not end in time.
            Cancelled: the job has to stop; the command's process group has been ended.
        """
        self._cancellation.check()
        if not argv:
            raise TypeError("ctx.run() needs a command")
        return _command.run(
            tuple(str(part) for part in argv),
            cancellation=self._cancellation,
            cwd=self.workspace / cwd if cwd is not None else self.workspace,
            env=env,
            check=check,
            capture=capture,
            timeout_s=None if timeout is None else seconds(timeout, "ctx.run, timeout"),
            input=input,
        )

    def log(self, message: object, level: str = "info", **fields: object) -> None:
        """Write a line to the job's log, in order with what the job prints.

        Args:
            message: its text.
            level: "debug", "info", "warning" or "error".
            fields: added as name=value.
        """
        if level not in LEVELS:
            raise ValueError(f"{level!r} is no level; there are: {', '.join(LEVELS)}")
        text = " ".join([str(message), *(f"{name}={value}" for name, value in fields.items())])
        with self._speaking():
            self._sink.log(level, text)

    def mask(self, value: str) -> None:
        """Mask a value in all that this job's log and result say from now on: raw, base64, URL, JSON, hex.

        A value of several lines is masked line by line. Lines of fewer than four characters are not masked. Run by
        hand nothing is masked.

        Raises:
            FeatureUnavailableError: the host cannot mask.
        """
        self._require("mask")
        with self._speaking():
            self._sink.mask(str(value))

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """Put what the job writes inside under a title."""
        with self._speaking():
            self._sink.group(title)
        try:
            yield
        finally:
            with self._cancellation.shield():
                self._sink.group_end()

    def output(self, name: str, value: Scalar) -> None:
        """Set an output, for the jobs that need this one. What the job returns adds to these.

        Raises:
            TypeError: the value is no str, int, float or bool.
        """
        self._outputs[name] = as_text(value)
        self._tell("outputs", m.Output(name=name, value=self._outputs[name]))

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the job is, from 0 to 1. A host that does not show it ignores it."""
        self._tell("progress", m.Progress(fraction=min(max(float(fraction), 0.0), 1.0), text=text))

    def annotate(self, text: str, *, level: str = "warning", path: str | Path = "", line: int = 0) -> None:
        """Attach a remark to a line of the source. A host that does not show it ignores it."""
        self._tell("annotations", m.Annotation(level=level, path=str(path), line=line, text=text))

    def metric(self, name: str, value: float, unit: str = "") -> None:
        """Record a number. A host that does not keep it ignores it."""
        self._tell("metrics", m.Metric(name=name, value=float(value), unit=unit))

    def summary(self, markdown: str) -> None:
        """Write what people read first about this job. A host that does not show it ignores it."""
        self._tell("summary", m.Summary(markdown=markdown))

    def artifact(self, *patterns: str | Path) -> None:
        """Keep files after the job ends.

        Args:
            patterns: paths, `**` too, relative to the workspace.

        Raises:
            FeatureUnavailableError: the host keeps none.
            FileNotFoundError: a pattern matches nothing.
        """
        self._require("artifacts")
        for pattern in patterns:
            found = sorted(glob.glob(str(pattern), root_dir=self.workspace, recursive=True))  # noqa: PTH207 - paths relative to a root
            if not found:
                raise FileNotFoundError(f"ctx.artifact: nothing in {self.workspace} matches {str(pattern)!r}")
            for path in found:
                self._tell("artifacts", m.Artifact(name=path, path=str(self.workspace / path)))

    def spawn(self, *jobs: object) -> NoReturn:
        """Add jobs to the run. No host offers this yet.

        Raises:
            FeatureUnavailableError: always.
        """
        del jobs
        raise FeatureUnavailableError("spawn")

    def ask(self, text: str, *, form: Sequence[object] = (), timeout: str | float | None = None) -> NoReturn:
        """Ask a person and wait for the answer. No host offers this yet.

        Raises:
            FeatureUnavailableError: always.
        """
        del text, form, timeout
        raise FeatureUnavailableError("ask")

    def _require(self, feature: str) -> None:
        if feature not in self._sink.features:
            raise FeatureUnavailableError(feature)

    def _tell(self, feature: str, event: Message) -> None:
        if feature in self._sink.features:
            with self._speaking():
                self._sink.event(event)
        else:
            self._cancellation.check()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        self._cancellation.check()
        with self._cancellation.shield():
            yield
