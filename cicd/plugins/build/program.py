"""Running one step's program under a reaper: its output to a function, a time limit, nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cicd.errors import UnavailableError
from cicd.plugins import child
from cicd.plugins.child import control
from cicd.plugins.output_pipe import OutputPipe
from cicd.plugins.supervised import Exit, Supervised

_BOOTSTRAP = Path(child.__file__).with_name("bootstrap.py")
_REAPED_S = 10.0


class TimeLimitError(UnavailableError):
    """A program took longer than it may; it was ended."""

    code = "timeout"


async def run_program(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, output: Callable[[bytes], None], timeout_s: float
) -> Exit:
    """Run a program and return how it ended; nothing that it started runs any more then, also when this is cancelled.

    Must run in a process with one thread.

    Raises:
        TimeLimitError: it did not end in time.
        OSError: no process could be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe = OutputPipe()
    try:
        reaper = subprocess.Popen(  # noqa: ASYNC220  asyncio's own watchers start threads
            (sys.executable, "-I", "-S", str(_BOOTSTRAP), "run", str(theirs.fileno())),
            stdin=subprocess.DEVNULL,
            stdout=pipe.write_fd,
            stderr=pipe.write_fd,
            pass_fds=(theirs.fileno(),),
            env={},
        )
    except OSError:
        ours.close()
        pipe.finish()
        raise
    finally:
        theirs.close()
        pipe.release_write_end()
    tree = Supervised(ours)
    pipe.set_feed(output)
    control.tell(ours, {"argv": list(argv), "env": dict(env), "cwd": str(cwd)})
    try:
        done, _ = await asyncio.wait((tree.exited,), timeout=timeout_s)
        if not done:
            raise TimeLimitError(f"it took longer than {timeout_s:g} s")
    finally:
        await _end(tree, reaper)
        pipe.finish()
    return tree.exited.result()


async def _end(tree: Supervised, reaper: subprocess.Popen[bytes]) -> None:
    if not tree.exited.done():
        tree.kill()
        # Shielded from a second cancellation: a tree that is left half killed is worse than a moment's wait.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.wait((tree.exited,), timeout=_REAPED_S))
    tree.close()
    if tree.exited.result().cause == "reaper":
        reaper.kill()
    reaper.wait()  # it has said its last word: this does not block
