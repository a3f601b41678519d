"""How every process of ours logs: events `noun.verb` with ids as fields, one line each, on stderr.

Whole lines are written at once, so that processes that share a log file do not mix theirs. What libraries say through
`logging` takes the same form.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

import structlog

if TYPE_CHECKING:
    from cicd.config import Log

_LIBRARIES_LEVEL = logging.WARNING
"""Libraries are not asked for more than this, however much is asked of us."""


def set_up_logs(config: Log, *, role: str) -> None:
    """Set up logging for this process; before its first log line, once.

    Args:
        config: the section `[log]`.
        role: the process's part, on every line: `master`, `minion`, `agent`, ...
    """
    console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add(role),
        structlog.processors.TimeStamper(fmt="iso", utc=not console, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor]
    if console:
        # Plain: the fancy ones show every local variable, and there may be secrets among them.
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        render = [
            structlog.dev.ConsoleRenderer(
                colors=colors, timestamp_key="time", sort_keys=False, exception_formatter=plain
            )
        ]
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Patient(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    _join_libraries(shared, render)


class _Patient:
    """A stream that drops what a full disk does not take: a line of log is no reason to end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def _add(role: str) -> structlog.typing.Processor:
    def add_role(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("role", role)
        return event

    return add_role


def _join_libraries(shared: list[structlog.typing.Processor], render: list[structlog.typing.Processor]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LIBRARIES_LEVEL)
