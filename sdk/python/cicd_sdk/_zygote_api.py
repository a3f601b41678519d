"""What a zygote calls: a warm process from which a host forks one process per job.

A zygote imports this module (and with it everything that serving needs), calls `preload` perhaps, and forks. It has
one thread and opens nothing, before and after that. The child calls `serve_forked` with its descriptors 1 and 2
already set, and never returns. These two functions are a contract with hosts: their meaning does not change within
one major version.
"""

from __future__ import annotations

import os
import pathlib  # noqa: F401 - what jobs need is loaded once, here
import subprocess  # noqa: F401 - the same
import sys
import traceback  # noqa: F401 - the same
from contextlib import suppress
from typing import NoReturn

from cicd_sdk import _handshake, _loader, _serve
from cicd_sdk._command import flush


def preload(entry: str) -> bool:
    """Load a pipeline's file into this process, for all children to come.

    Args:
        entry: the file's path.

    Returns:
        Whether this process may still be forked: it has one thread and no new descriptor. If not (also when the file
        cannot be loaded), the process is of no use as a zygote any more: start a new one and leave the file to the
        children.
    """
    before = _descriptors()
    try:
        _loader.load(entry)
    except BaseException:  # noqa: BLE001 - each child finds the same and can tell it
        return False
    finally:
        flush()  # or every child would print it again
    return len(os.listdir("/proc/self/task")) == 1 and _descriptors() == before  # noqa: PTH208 - a count


def serve_forked(entry: str, socket_dir: str) -> NoReturn:
    """Serve a pipeline in a process that was just forked; the handshake's line goes to descriptor 1.

    Args:
        entry: the path of the pipeline's file. It is loaded when it is needed first, unless `preload` did.
        socket_dir: a folder that only the host and this process can look into.
    """
    code = 1
    try:
        _reseed()
        path = _handshake.socket_path(socket_dir)
        _serve.serve(path, lambda: _loader.load(entry))
        code = 0
    except (_handshake.HandshakeError, OSError) as error:
        with suppress(OSError):
            os.write(2, f"cicd_sdk: cannot serve: {error}\n".encode("utf-8", "backslashreplace"))
    finally:
        flush()
        # Not sys.exit: the frames below and the exit handlers are the zygote's.
        os._exit(code)


def _reseed() -> None:
    # Children of one zygote would draw the same numbers.
    if "random" in sys.modules:
        sys.modules["random"].seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()


def _descriptors() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names
        with suppress(OSError):  # the one of this listing is closed by now
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")  # noqa: PTH115 - a text
    return found
