"""One build: clone, package, describe; each step with its own program, time limit and part of the log.

    Build -> clone.py -> package.py -> Describe -> plugin.tar in its place -> Built
                 any of them fails: BuildFailed with a code and one line

Until the last step nothing can be seen of a build but its log: everything is made in a folder of its own below
`<data_dir>/tmp`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cicd.clock import Clock
from cicd.errors import CicdError
from cicd.messages.base import Wire
from cicd.messages.build import Build, BuildFailed, Built
from cicd.messages.pipeline import PipelineSpec, PluginRecord
from cicd.plugins.artifact import Packed, keep
from cicd.plugins.build.environment import clone_environment, package_environment
from cicd.plugins.build.log_file import BuildLog
from cicd.plugins.build.program import TimeLimitError, run_program
from cicd.plugins.build.settings import BuildSettings
from cicd.plugins.build.step import Cloned, Failed, Packaged, Request, Result, one_line, read_result, write_request
from cicd.plugins.describe import spec_from_description
from cicd.plugins.handshake import SOCKET_DIR_LIMIT_BYTES, PluginError
from cicd.plugins.host import launch
from cicd.plugins.python_runtime import python_command

TMP_PREFIX = "build-"


def plugin_place(data_dir: Path, digest: str) -> Path:
    """Return where a plugin's tar is kept."""
    return data_dir / "plugins" / digest / "plugin.tar"


class _StepError(CicdError):
    """A step that failed; `code` is that of `BuildFailed`."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a build works, and what it is told in."""

    work: Path
    log: BuildLog


class PipelineBuild:
    """One build on its way.

    Args:
        build: what is asked for.
        settings: of the build host.
        clock: for times in the log and the record.
        environment: the master's, to take the few names from that pass.
    """

    def __init__(self, build: Build, settings: BuildSettings, clock: Clock, environment: Mapping[str, str]) -> None:
        self.build = build
        self._settings = settings
        self._clock = clock
        self._environment = environment
        self._data_dir = Path(settings.data_dir)

    async def run(self) -> Wire:
        """Do it and return the answer. When cancelled, everything it started is ended and the log says so."""
        began_s = self._clock.boot_s()
        try:
            log = BuildLog(Path(self.build.log_path), self._settings.max_log_bytes, self._settings.secrets())
        except OSError as error:
            return self._failed("internal", f"the build's log cannot be written: {error}")
        try:
            record = await self._steps(log)
        except asyncio.CancelledError:
            log.say("stopped")
            raise
        except (CicdError, OSError, ValueError) as error:
            code = error.code if isinstance(error, _StepError) else "internal"
            answer = self._failed(code, log.masked(error.message if isinstance(error, CicdError) else str(error)))
            log.say(f"failed ({code}): {answer.error}")
            return answer
        else:
            log.say(f"ready: plugin {record.digest} in {self._clock.boot_s() - began_s:.1f} s")
            return Built(pipeline=self.build.pipeline, number=self.build.number, plugin=record)
        finally:
            log.close()

    async def _steps(self, log: BuildLog) -> PluginRecord:
        tmp = self._data_dir / "tmp"
        tmp.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=TMP_PREFIX, dir=tmp))
        place = _Place(work, log)
        try:
            for name in ("home", "tmp"):
                (work / name).mkdir()
            cloned = await self._clone(place)
            packaged = await self._package(place, cloned)
            spec = await self._describe(place)
            packed = Packed(packaged.digest, packaged.size_bytes)
            keep(work / "plugin.tar", packed, plugin_place(self._data_dir, packaged.digest))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return PluginRecord(
            digest=packaged.digest,
            size_bytes=packaged.size_bytes,
            source_digest=cloned.digest,
            source_size_bytes=cloned.size_bytes,
            commit=cloned.commit,
            language=packaged.language,
            spec=spec,
            requires_python=packaged.requires_python,
            tags=packaged.tags,
            created_s=self._clock.wall_s(),
        )

    async def _clone(self, place: _Place) -> Cloned:
        source, settings = self.build.source, self._settings
        place.log.say(
            f"build {self.build.number} of {self.build.name}: {source.repository} {source.ref or '(default branch)'}"
        )
        write_request(place.work, Request(settings=settings, source=source))
        env = clone_environment(self._environment, settings, place.work)
        result = await self._step("clone", env, settings.clone_timeout_s, place)
        if not isinstance(result, Cloned):
            raise _error(result, "source")
        return result

    async def _package(self, place: _Place, cloned: Cloned) -> Packaged:
        source, settings = self.build.source, self._settings
        place.log.say(f"commit {cloned.commit}, folder {source.path}")
        request = Request(settings=settings, source=source, source_digest=cloned.digest, commit=cloned.commit)
        write_request(place.work, request)
        env = package_environment(self._environment, settings, place.work)
        result = await self._step("package", env, settings.build_timeout_s, place)
        if not isinstance(result, Packaged):
            raise _error(result, "build")
        return result

    async def _step(self, name: str, env: Mapping[str, str], timeout_s: float, place: _Place) -> Result | str:
        """Return what a step answered, or why it did not."""
        argv = (sys.executable, "-s", "-P", "-m", f"cicd.plugins.build.{name}", str(place.work))
        try:
            ended = await run_program(argv, env, place.work, output=place.log.write, timeout_s=timeout_s)
        except TimeLimitError as error:
            return f"{name}: {error.message}"
        result = read_result(place.work)
        if result is not None:
            return result
        how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
        return f"the {name} step ended without a result ({how})"

    async def _describe(self, place: _Place) -> PipelineSpec:
        place.log.say("asking the plugin what it is")
        timeout_s = self._settings.describe_timeout_s
        socket_dir = _socket_dir(place.work)
        try:
            command = python_command(place.work / "artifact")
            plugin = await launch(command, socket_dir=socket_dir, start_timeout_s=timeout_s, output=place.log.write)
            try:
                description = await plugin.describe(timeout_s)
            finally:
                await plugin.close()
            return spec_from_description(description)
        except CicdError as error:
            if "\n" in error.message.strip():
                # A traceback of the author's file: whole in the log, its last line as the error.
                place.log.write(error.message.encode(errors="replace") + b"\n")
            raise _StepError(_last_words(error), code="describe") from None
        finally:
            shutil.rmtree(socket_dir, ignore_errors=True)

    def _failed(self, code: str, text: str) -> BuildFailed:
        return BuildFailed(pipeline=self.build.pipeline, number=self.build.number, code=code, error=one_line(text))


def _error(result: Result | str, code: str) -> _StepError:
    if isinstance(result, Failed):
        return _StepError(result.error, code=result.code)
    return _StepError(result if isinstance(result, str) else "a step answered for another", code=code)


def _socket_dir(work: Path) -> Path:
    """Make the folder for the plugin's socket: below the build's own unless that is too long for an address."""
    folder = work / "sock"
    if len(os.fsencode(folder)) > SOCKET_DIR_LIMIT_BYTES:
        return Path(tempfile.mkdtemp(prefix="cicd-"))
    folder.mkdir(mode=0o700)
    return folder


def _last_words(error: CicdError) -> str:
    """Return an error with the last line of what the plugin printed; all of it is in the log."""
    if not isinstance(error, PluginError) or not error.diagnosis:
        return error.message.strip().splitlines()[-1] if error.message.strip() else "Describe failed"
    head = error.message.removesuffix(error.diagnosis).rstrip(": ")
    return f"{head}: {error.diagnosis.strip().splitlines()[-1]}"
