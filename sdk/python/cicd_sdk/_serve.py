"""Serves a pipeline to the host that started this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from cicd_sdk import _handshake
from cicd_sdk._pipeline import Pipeline
from cicd_sdk._service import Service


def serve_program(pipeline: Pipeline) -> int:
    """Serve a pipeline whose program a host started; return the program's exit code."""
    try:
        _handshake.check_tls()
        path = _handshake.socket_path()
        serve(path, lambda: pipeline)
    except (_handshake.HandshakeError, OSError) as error:
        print(f"cicd_sdk: cannot serve: {error}", file=sys.stderr)  # noqa: T201 - the only way to tell the host
        return 1
    return 0


def serve(path: str, load: Callable[[], Pipeline]) -> None:
    """Announce the socket, answer the host until it says that it is enough.

    Args:
        path: where to listen.
        load: returns the pipeline; called in this thread.
    """
    service = Service(path, load)
    # A person's Ctrl-C goes to the whole terminal; the host decides what it means. A handler and not SIG_IGN, which
    # children inherit.
    signal.signal(signal.SIGINT, lambda _signum, _frame: None)
    _handshake.announce(path)
    _handshake.scrub_environment()
    _handshake.prepare_output()
    service.start()
    service.run_tasks()
