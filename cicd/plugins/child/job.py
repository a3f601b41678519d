"""The job's process between its fork and its plugin: bound to its reaper, in its own session, cleared of its parent."""

# ruff: noqa: PTH103  pathlib is not worth its import here

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from . import control, kernel, workspace

_UNPREPARED_CODE = 70
"""EX_SOFTWARE; the control socket has said why."""

_RESET = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2)


def start(
    settings: dict[str, Any], output: int, link: socket.socket, reaper: int, serve: Callable[[], NoReturn]
) -> NoReturn:
    """Become the process that the settings ask for, and serve.

    Args:
        settings: env, cwd, source ("": an empty workspace), folders (to make), limits (rlimit name -> value).
        output: descriptor that becomes stdout and stderr.
        link: the control socket, for one word; closed before anything of the user's runs.
        reaper: process id of the reaper.
        serve: does not return.
    """
    try:
        _isolate(output, reaper)
        for folder in settings.get("folders", ()):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        if settings.get("source"):
            workspace.copy_tree(settings["source"], settings["cwd"])
        for name, value in settings.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))
        os.environ.clear()
        os.environ.update(settings["env"])
        os.chdir(settings["cwd"])
        if "tempfile" in sys.modules:
            sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]  # found again: the env names another one
        control.tell(link, {"prepared": True})
        link.close()
        os.closerange(3, 1 << 20)
    except BaseException as error:  # noqa: BLE001  whatever it was, this process must not run on as a copy of its parent
        control.tell(link, {"error": f"{type(error).__name__}: {error}"})
        os._exit(_UNPREPARED_CODE)
    try:
        serve()
    except BaseException:  # noqa: BLE001  the same
        traceback.print_exc()
    os._exit(1)


def _isolate(output: int, reaper: int) -> None:
    kernel.die_with_parent(reaper)
    kernel.set_name("cicd-job")
    os.setsid()
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.umask(0o022)
