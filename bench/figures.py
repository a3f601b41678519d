"""What a benchmark hands back, and how it is printed."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence

Figure = dict[str, object]


def emit(name: str, **values: object) -> Figure:
    """Print one figure as a JSON line, at once, and return it."""
    figure: Figure = {"bench": name}
    figure.update({key: _rounded(value) for key, value in values.items()})
    print(json.dumps(figure), flush=True)
    return figure


def timings(measure: Callable[[], None], count: int, *, warm_up: int = 10) -> list[float]:
    """Return how long each of `count` calls took, in seconds, after some that are not counted."""
    for _ in range(warm_up):
        measure()
    taken = []
    for _ in range(count):
        begin = time.perf_counter()
        measure()
        taken.append(time.perf_counter() - begin)
    return taken


def percentile_ms(seconds: Sequence[float], percent: float) -> float:
    """Return a percentile by the nearest rank, in milliseconds."""
    ranked = sorted(seconds)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)] * 1000


def p50_p99(seconds: Sequence[float]) -> dict[str, float]:
    """Return both in milliseconds."""
    return {"p50_ms": percentile_ms(seconds, 50), "p99_ms": percentile_ms(seconds, 99)}


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
