"""One stream as its client sees it: buffered items, the acknowledgements they earn, and its troubles.

Pure bookkeeping: `connection` feeds it with what arrives and carries out what it asks for. A stream is asked for
again (under a new id) after a reconnect, after a gap in its numbers, after an end or a retryable failure that came too
early, and when it has been silent for `SILENCE_S`: then a loss that nobody noticed heals, too.
"""

from __future__ import annotations

from collections import deque

from cicd.client.position import Position
from cicd.errors import CicdError, UnavailableError
from cicd.messages.client import Answer, Item

SILENCE_S = 20.0
"""A stream without a word for this long is asked for again."""
PAUSE_S = 0.5
"""Between a stream's early end and asking again."""
_CREDIT_EVERY = 16
"""Items that are acknowledged together at most; well below the window."""


class StreamState:
    """The bookkeeping of one stream.

    Attributes:
        id: of the request that it is asked for with now; 0: not asked for.
        ask_at_s: boot time to ask (again) at; None: it is under way.
        failing_s: boot time since when the master ends it early without sending anything new; None: all is well.
        failure: what the master said to that.
        error: why it ended, when not by itself.
        ended: nothing more arrives; what is buffered can still be taken.
    """

    def __init__(self, position: Position, now_s: float) -> None:
        self.position = position
        self.id = 0
        self.ask_at_s: float | None = now_s
        self.failing_s: float | None = None
        self.failure: CicdError | None = None
        self.error: CicdError | None = None
        self.ended = False
        self._buffer: deque[tuple[int, int, Answer]] = deque()
        self._arrived = 0
        self._consumed = 0
        self._credited = 0
        self._heard_s = now_s

    def asked(self, id_: int, now_s: float) -> None:
        """It was asked for with this id: its numbers begin anew."""
        self.id = id_
        self.ask_at_s = None
        self._heard_s = now_s
        self._arrived = self._consumed = self._credited = 0
        # Numbers of an earlier id must not be acknowledged under this one.
        self._buffer = deque((order, 0, answer) for order, _, answer in self._buffer)

    def item(self, item: Item, order: int, now_s: float) -> None:
        """An item arrived; `order` counts the arrivals of all streams."""
        self._heard_s = now_s
        if item.seq != self._arrived + 1:
            self.again(now_s, pause_s=0.0)
            return
        self._arrived = item.seq
        answer = self.position.accept(item.answer)
        if answer is None:
            if not self._buffer:
                self._consumed = item.seq
            return
        self.failing_s = self.failure = None
        self._buffer.append((order, item.seq, answer))

    def over(self, now_s: float) -> None:
        """The master says that nothing follows."""
        if self.position.whole:
            self.ended = True
        else:
            self._early(UnavailableError("the stream ended before it was whole"), now_s)

    def failed(self, error: CicdError, now_s: float) -> None:
        """The master, or nobody, says why it cannot go on."""
        if error.retryable:
            self._early(error, now_s)
        else:
            self.stop(error)

    def cut(self, now_s: float) -> None:
        """The connection that it was asked for on is gone, and its id with it."""
        self.id = 0
        self.again(now_s, pause_s=0.0)

    def again(self, now_s: float, pause_s: float = PAUSE_S) -> None:
        """Ask again after a pause."""
        self.ask_at_s = now_s + pause_s

    def stop(self, error: CicdError | None = None) -> None:
        """Nothing more shall arrive."""
        self.ended = True
        self.error = error

    def is_silent(self, now_s: float) -> bool:
        """Return whether it has been without a word for too long."""
        return self.ask_at_s is None and now_s - self._heard_s > SILENCE_S

    def _early(self, error: CicdError, now_s: float) -> None:
        self.failure = error
        if self.failing_s is None:
            self.failing_s = now_s
        self.again(now_s)

    @property
    def first(self) -> int | None:
        """When the oldest buffered item arrived, in the order of all streams; None: there is none."""
        return self._buffer[0][0] if self._buffer else None

    def take(self) -> Answer:
        """Hand out the oldest buffered item."""
        _, seq, answer = self._buffer.popleft()
        self._consumed = max(self._consumed, seq)
        if not self._buffer:
            self._consumed = self._arrived
        return answer

    def credit(self) -> int:
        """Return the number to acknowledge now; 0: none."""
        due = self._consumed - self._credited
        if due <= 0 or (self._buffer and due < _CREDIT_EVERY):
            return 0
        self._credited = self._consumed
        return self._credited
