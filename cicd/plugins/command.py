"""Running a short command to its end, with bounds: time, output, and nothing of it left, whatever it started.

It runs below a reaper, which holds the time limit by itself: also a jobhost that is stopped or killed lets nothing
outlive it. Must run in a process with one thread.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd.clock import Clock
from cicd.plugins import child
from cicd.plugins.child import control
from cicd.plugins.host import describe_exit
from cicd.plugins.leftovers import insist
from cicd.plugins.output_pipe import OutputPipe
from cicd.plugins.supervised import Exit, Supervised

KEPT_BYTES = 4096
"""So much of the output is kept; the rest is read and dropped."""
_INSIST_S = 2.0


@dataclass(frozen=True)
class CommandEnd:
    """How a command ended; nothing of it is left.

    Attributes:
        ok: it ended by itself, with exit code 0.
        text: the first line of its output that is not blank, or how it ended.
    """

    ok: bool
    text: str


async def run_command(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    clock: Clock,
    started: Callable[[int], None],
) -> CommandEnd:
    """Run a command; return how it ended. Cancelled, it ends the command.

    Args:
        argv: program (found on env's PATH) and arguments.
        env: its whole environment.
        timeout_s: then it is ended, with everything that it started.
        clock: boot time, on which the reaper holds the limit.
        started: called with the id of its reaper, a child of this process that is reaped here.

    Raises:
        OSError: no process could be started.
    """
    if shutil.which(argv[0], path=env.get("PATH")) is None:
        return CommandEnd(ok=False, text=f"there is no program {argv[0]!r}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipe = OutputPipe()
    bootstrap = Path(child.__file__).with_name("bootstrap.py")
    try:
        reaper = subprocess.Popen(  # noqa: ASYNC220  asyncio's own watchers start threads
            (sys.executable, "-I", "-S", str(bootstrap), "run", str(theirs.fileno())),
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
    started(reaper.pid)
    settings = {"argv": list(argv), "env": dict(env), "cwd": "/", "deadline": clock.boot_s() + timeout_s}
    control.tell(ours, settings)
    tree = Supervised(ours)
    kept = bytearray()
    pipe.set_feed(lambda data: kept.extend(data[: KEPT_BYTES - len(kept)]))
    try:
        ended = await _ended(tree, reaper.pid, timeout_s)
        await asyncio.shield(tree.gone)
        reaper.wait()  # its end of the socket is closed: it is gone, or about to be
    finally:
        tree.close()  # which ends the whole tree, should it still be there
        pipe.finish()
    return _verdict(ended, bytes(kept), timeout_s)


async def _ended(tree: Supervised, reaper: int, timeout_s: float) -> Exit:
    limit_s = timeout_s + _INSIST_S
    while not (await asyncio.wait((tree.exited,), timeout=limit_s))[0]:
        insist(reaper)
        limit_s = _INSIST_S
    return tree.exited.result()


def _verdict(ended: Exit, output: bytes, timeout_s: float) -> CommandEnd:
    lines = (line.strip() for line in output.decode(errors="replace").splitlines())
    first = next((line for line in lines if line), "")
    if ended.cause == "lease":
        return CommandEnd(ok=False, text=f"no end within {timeout_s:g} s" + (f": {first}" if first else ""))
    ok = ended.code == 0 and not ended.cause
    return CommandEnd(ok=ok, text=first or describe_exit(ended))
