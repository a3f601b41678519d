"""Durations as people write them: "90s", "5m", "1h30m", or a number of seconds."""

from __future__ import annotations

import re

from cicd_sdk.errors import PipelineError

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(value: str | float, where: str) -> float:
    """Return a duration in seconds.

    Args:
        value: a number of seconds, or a text like "5m" or "1h30m".
        where: what it belongs to, for the error.

    Raises:
        PipelineError: it is no duration, or not above zero.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        total = float(value)
    elif isinstance(value, str) and value and not _PART.sub("", value):
        total = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(value))
    else:
        raise PipelineError(f'{where}: {value!r} is no duration; write seconds, or a text like "90s", "5m" or "1h30m"')
    if not 0 < total < float("inf"):
        raise PipelineError(f"{where}: a duration has to be above zero, not {value!r}")
    return total
