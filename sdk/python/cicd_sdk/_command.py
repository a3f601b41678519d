"""Runs a command for a job: its output goes where the job's goes, and it never outlives what was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cicd_sdk import _processes
from cicd_sdk._cancellation import Cancellation
from cicd_sdk.errors import CommandError, CommandTimeoutError

if TYPE_CHECKING:  # slow to import: not every job runs a command
    import subprocess
    from pathlib import Path

_TIMEOUT_GRACE_S = 2.0
_MAX_GRACE_S = 30.0


class Completed:
    """A command that ended.

    Args:
        returncode: as `subprocess` tells it: negative when a signal ended the command.
        stdout: its output, when that was captured.
    """

    __slots__ = ("returncode", "stdout")

    def __init__(self, returncode: int, stdout: str = "") -> None:
        self.returncode = returncode
        self.stdout = stdout

    def __repr__(self) -> str:
        return f"Completed(returncode={self.returncode}, stdout={self.stdout!r})"


def flush() -> None:
    """Hand on what this process has printed, so that what others write comes after it."""
    for stream in (sys.stdout, sys.stderr):
        # A job may have closed or replaced them.
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def run(
    argv: tuple[str, ...],
    *,
    cancellation: Cancellation,
    cwd: Path,
    env: Mapping[str, str] | None,
    check: bool,
    capture: bool,
    timeout_s: float | None,
    input: str | bytes | None,  # noqa: A002 - as in subprocess
) -> Completed:
    """Run a command in a process group of its own; see `Context.run`."""
    from subprocess import TimeoutExpired

    data = input.encode() if isinstance(input, str) else input
    flush()
    with cancellation.shield():
        process = _start(argv, cwd, env, capture=capture, feed=data is not None)
        cancellation.add_group(process.pid)
        try:
            with cancellation.window():
                out, _ = process.communicate(data, timeout=timeout_s)
        except TimeoutExpired as expired:
            _processes.end_group(process, _TIMEOUT_GRACE_S)
            text = (expired.stdout or b"").decode(errors="replace")
            raise CommandTimeoutError(argv, process.returncode, text, f"did not end within {timeout_s:g} s") from None
        except BaseException:
            # Most of what is left of the grace period: the job still has to tell its result.
            grace_s = min(cancellation.grace_left_s() * 0.8, _MAX_GRACE_S)
            _processes.end_group(process, grace_s, ask=not cancellation.has_asked(process.pid))
            raise
        finally:
            cancellation.remove_group(process.pid)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
    text = (out or b"").decode(errors="replace")
    if check and process.returncode:
        raise CommandError(argv, process.returncode, text)
    return Completed(process.returncode, text)


def _start(
    argv: tuple[str, ...], cwd: Path, env: Mapping[str, str] | None, *, capture: bool, feed: bool
) -> subprocess.Popen[bytes]:
    import subprocess

    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            process_group=0,
        )
    except FileNotFoundError as error:
        if not cwd.is_dir():
            raise CommandError(argv, 126, reason=f"cannot run in {cwd}: there is no such folder") from error
        raise CommandError(argv, 127, reason="was not found") from error
    except OSError as error:
        raise CommandError(argv, 126, reason=f"cannot be run: {error.strerror}") from error
