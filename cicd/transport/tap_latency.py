"""How long an answer took: which kind answers which, and by which ids the two belong together."""

from __future__ import annotations

from collections.abc import Mapping

_ATTEMPT = ("job", "attempt")

ANSWERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Welcome": (("Hello",), ()),
    "Refused": (("Hello",), ()),
    "BeatAck": (("Beat",), ("session", "seq")),
    "JobStarted": (("RunJob",), _ATTEMPT),
    "ResultAck": (("JobFinished",), _ATTEMPT),
    "BulkWelcome": (("BulkHello",), ()),
    "LogAck": (("LogChunk", "LogOpen"), _ATTEMPT),
    "LogEndAck": (("LogEnd",), _ATTEMPT),
    "BlobData": (("BlobRead",), ("digest", "offset")),
    "BlobMissing": (("BlobRead",), ("digest",)),
    "Reply": (("Request",), ("id",)),
    "Failure": (("Request",), ("id",)),
    "End": (("Request",), ("id",)),
}
"""Kind of an answer -> the kinds it answers, and the ids that both carry."""

LIMIT = 4096
"""Most questions that are remembered; older ones are forgotten first."""

_Key = tuple[str, bytes, str, tuple[str, ...]]


class Latencies:
    """Remembers questions and measures answers; not safe for several threads."""

    def __init__(self) -> None:
        self._asked: dict[_Key, float] = {}
        self._questions: dict[str, list[tuple[str, ...]]] = {}
        for kinds, names in ANSWERS.values():
            for kind in kinds:
                if names not in self._questions.setdefault(kind, []):
                    self._questions[kind].append(names)

    def of(self, socket: str, peer: bytes, kind: str, ids: Mapping[str, str], time_s: float) -> float:
        """Return seconds since what this message answers, negative: not known. A question is remembered."""
        for names in self._questions.get(kind, ()):
            self._remember((socket, peer, kind, _values(names, ids)), time_s)
        kinds, names = ANSWERS.get(kind, ((), ()))
        values = _values(names, ids)
        times = [asked for name in kinds if (asked := self._asked.get((socket, peer, name, values))) is not None]
        return max(0.0, time_s - max(times)) if times else -1.0

    def _remember(self, key: _Key, time_s: float) -> None:
        self._asked.pop(key, None)
        self._asked[key] = time_s
        if len(self._asked) > LIMIT:
            del self._asked[next(iter(self._asked))]


def _values(names: tuple[str, ...], ids: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(ids.get(name, "") for name in names)
