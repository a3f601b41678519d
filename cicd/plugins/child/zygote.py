"""The zygote: one warm, single-threaded interpreter per plugin that forks a reaper for each attempt it is told of.

A packet is the attempt's settings (JSON) with two descriptors: the output pipe's write end and the reaper's end of the
control socket. End of file ends the zygote; attempts live on, since their reapers hang on their control sockets alone.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import control, job, kernel, reaper, workspace

_OUTPUT_LIMIT_BYTES = 32 * 1024
"""Of what the plugin's import printed; each attempt's log begins with it."""

_FAR_DESCRIPTORS = 100
"""The two descriptors of an attempt are moved here, so that everything else can be closed in one go."""


def main(link: socket.socket, preload: Callable[[], bool], serve: Callable[[str], NoReturn]) -> NoReturn:
    """Serve fork requests until the end of file.

    Args:
        link: seqpacket socket of the jobhost.
        preload: imports what every attempt needs; returns whether the user's own code is among it.
        serve: in the child, serves the plugin in a socket directory.
    """
    kernel.set_name("cicd-zygote")
    printed = _capture(preload)
    gc.collect()
    gc.freeze()
    control.tell(link, {"ready": True})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        packet, descriptors, _flags, _address = socket.recv_fds(link, control.PACKET_BYTES, 2)
        if not packet:
            os._exit(0)
        if os.fork() == 0:
            _attempt(control.unpack(packet), descriptors, printed, serve)
        for descriptor in descriptors:
            os.close(descriptor)


def _capture(preload: Callable[[], bool]) -> bytes:
    """Preload and return what was printed meanwhile, if children will not print it again."""
    memory = os.memfd_create("import-output", os.MFD_CLOEXEC)
    for descriptor in (1, 2):
        os.dup2(memory, descriptor)
    loaded = preload()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    reaper.drop_standard_streams()
    printed = os.pread(memory, _OUTPUT_LIMIT_BYTES, 0) if loaded else b""
    os.close(memory)
    return printed


def _attempt(
    settings: dict[str, Any], descriptors: list[int], printed: bytes, serve: Callable[[str], NoReturn]
) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, _FAR_DESCRIPTORS + place, inheritable=False)
    output, link_descriptor = _FAR_DESCRIPTORS, _FAR_DESCRIPTORS + 1
    os.closerange(3, output)
    os.closerange(link_descriptor + 1, 1 << 20)
    link = socket.socket(fileno=link_descriptor)
    try:
        supervisor = reaper.Reaper(link, settings["deadline"])
        own = os.getpid()

        def serve_after_import() -> NoReturn:
            if printed:
                os.write(1, printed)  # the pipe is new and holds 64 KiB: this cannot block
            serve(settings["socket_dir"])

        def start() -> NoReturn:
            job.start(settings, output, link, own, serve_after_import)

        supervisor.run(start, output)
        for folder in settings["remove"]:
            workspace.remove_tree(folder)
        for folder in settings["remove_empty"]:
            workspace.remove_empty(folder)
    except BaseException as error:  # noqa: BLE001  this process must not run on as a copy of the zygote
        control.tell(link, {"error": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(0)
