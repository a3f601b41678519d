"""Virtual time: what happens next, and processes that may be killed or paused."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

Action = Callable[[], None]


class Clockwork:
    """Runs actions in the order of their times; those of one time in the order they were asked for.

    Attributes:
        now_s: the one true time, which nobody inside knows.
        count: actions that were run.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.count = 0
        self._order = 0
        self._due: list[tuple[float, int, Action]] = []

    def after(self, delay_s: float, action: Action) -> None:
        """Run an action later."""
        self._order += 1
        heapq.heappush(self._due, (self.now_s + max(0.0, delay_s), self._order, action))

    def run(self, until_s: float, enough: Callable[[], bool] | None = None) -> None:
        """Let time pass, until then or until it is enough."""
        due = self._due
        while due and due[0][0] <= until_s:
            self.now_s, _, action = heapq.heappop(due)
            self.count += 1
            action()
            if enough is not None and enough():
                return
        self.now_s = until_s


class Process:
    """What can be killed, once, and paused. What is delivered to a paused one waits; to a dead one it is lost."""

    def __init__(self) -> None:
        self.alive = True
        self._pauses = 0
        self._held: deque[Action] = deque()

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._pauses > 0

    def do(self, action: Action) -> None:
        """Run an action inside this process, now or when it goes on."""
        if not self.alive:
            return
        if self._pauses or self._held:
            self._held.append(action)
        else:
            action()

    def pause(self) -> None:
        """Stand still, until as many calls of `resume`."""
        self._pauses += 1

    def resume(self) -> None:
        """Go on with what has waited."""
        self._pauses -= 1
        while self.alive and not self._pauses and self._held:
            self._held.popleft()()

    def end(self) -> None:
        """Die."""
        self.alive = False
        self._held.clear()
