"""What a step of a build is: a process of its own, told what to do by one file and answering by another.

    host                            step: python -m cicd.plugins.build.clone WORK
    WORK/request.json         ->
                              <-    stdout and stderr: the build's log
                              <-    WORK/result.json: what came of it, or an error as code and line

The result comes by file because everything else that a step has open, what it starts has open too.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from cicd.errors import CicdError, RefusedError
from cicd.messages.base import Digest
from cicd.messages.pipeline import Source
from cicd.plugins.build.settings import BuildSettings

ERROR_LIMIT = 500
"""Longest line of an error; the log has the rest."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a step is told. `source_digest` and `commit` are known after the clone."""

    settings: BuildSettings
    source: Source
    source_digest: Digest = Digest("")
    commit: str = ""


class Cloned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The commit's tree is packed, and kept by digest."""

    commit: str
    digest: Digest
    size_bytes: int


class Packaged(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The artifact stands in `WORK/artifact` and is packed as `WORK/plugin.tar`."""

    digest: Digest
    size_bytes: int
    language: str
    requires_python: str
    tags: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """It did not work; codes as in `cicd.messages.build.BuildFailed`."""

    code: str
    error: str


Result = Cloned | Packaged | Failed
T = TypeVar("T", Cloned, Packaged)


def write_request(work: Path, request: Request) -> None:
    """Lay down what the next step is to do; what the one before said is removed."""
    (work / "result.json").unlink(missing_ok=True)
    (work / "request.json").write_bytes(msgspec.json.encode(request))


def read_result(work: Path) -> Result | None:
    """Return what a step has said; None: it ended without a word."""
    try:
        return msgspec.json.decode((work / "result.json").read_bytes(), type=Cloned | Packaged | Failed)
    except (OSError, ValueError):
        return None


def one_line(text: str) -> str:
    """Return a text as one line that is fit to be shown."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= ERROR_LIMIT else f"{line[: ERROR_LIMIT - 1]}…"


def run_step(name: str, work_on: Callable[[Request, Path], T]) -> NoReturn:
    """Be a step's process: read the request, work, write the result, exit.

    Args:
        name: code of errors that have none of the build's own.
        work_on: does the step.
    """
    # It was there to find this program; what the step starts must not see it.
    os.environ.pop("PYTHONPATH", None)
    work = Path(sys.argv[1])
    result: Result
    try:
        request = msgspec.json.decode((work / "request.json").read_bytes(), type=Request)
        result = work_on(request, work)
    except RefusedError as error:
        result = Failed(code="refused", error=one_line(error.message))
    except CicdError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__, limit=0)  # the author's lines, not ours
        result = Failed(code=name, error=one_line(error.message))
    except OSError as error:
        # The disk, mostly; people can do something about it.
        traceback.print_exc()
        result = Failed(code=name, error=one_line(str(error)))
    except Exception as error:  # noqa: BLE001  a bug of ours must be answered too, and the log has the traceback
        traceback.print_exc()
        result = Failed(code="internal", error=one_line(f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    sys.stderr.flush()
    making = work / "result.json.new"
    making.write_bytes(msgspec.json.encode(result))
    making.replace(work / "result.json")
    sys.exit(1 if isinstance(result, Failed) else 0)
