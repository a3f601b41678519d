"""What a client hands out for a call that is answered by many: iterate over it, or over `Client.events`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from cicd.client.stream_state import StreamState
from cicd.errors import CicdError
from cicd.messages.client import Answer


class _Owner(Protocol):
    """What a stream needs of its client."""

    def next_of(self, stream: Stream) -> Answer | None: ...

    def forget(self, stream: Stream) -> None: ...


class Stream:
    """Answers of one call, as they come: an iterator and a context manager. Made by `Client.stream`."""

    def __init__(self, owner: _Owner, state: StreamState) -> None:
        self._owner = owner
        self.state = state

    def __iter__(self) -> Iterator[Answer]:
        return self

    def __next__(self) -> Answer:
        answer = self._owner.next_of(self)
        if answer is None:
            raise StopIteration
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def error(self) -> CicdError | None:
        """Why it ended, when not by itself."""
        return self.state.error

    def close(self) -> None:
        """Want no more. Again: nothing."""
        self._owner.forget(self)


@dataclass(frozen=True, slots=True)
class Event:
    """Something on one of several streams: an answer, or (None) its end; `stream.error` says why, if not by itself."""

    stream: Stream
    answer: Answer | None
