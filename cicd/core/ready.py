"""Jobs that are ready and wait for a minion: first come, first served, by what they require.

Jobs with the same requirements share a queue; a queue whose requirements nobody open meets does not hold up the others.
Such a queue is blocked: it is passed over, without looking at 10,000 minions again, until one opens that meets them. A
job that leaves by another door (cancelled) is passed over when its turn comes.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import MinionRecord


class Requirements(NamedTuple):
    """What a job asks of a minion.

    Attributes:
        labels: all of which it must carry.
        tags: of artifacts, one of which it must offer; none: any minion.
        avoid: the one minion that it must not be.
    """

    labels: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    avoid: MinionId | None = None


def meets(minion: MinionRecord, requirements: Requirements) -> bool:
    """Return whether a minion offers what a job requires."""
    labels, tags, avoid = requirements
    if avoid is not None and minion.id == avoid:
        return False
    return all(label in minion.labels for label in labels) and (not tags or any(tag in minion.tags for tag in tags))


class ReadyQueue:
    """Queues by requirements."""

    def __init__(self) -> None:
        self._queues: dict[Requirements, deque[tuple[int, JobId]]] = {}
        self._where: dict[JobId, tuple[Requirements, int]] = {}
        self._blocked: set[Requirements] = set()
        self._count = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, job: JobId) -> bool:
        return job in self._where

    def add(self, job: JobId, requirements: Requirements) -> None:
        """Put a job at the end."""
        self._count += 1
        self._where[job] = (requirements, self._count)
        self._queues.setdefault(requirements, deque()).append((self._count, job))

    def remove(self, job: JobId) -> None:
        """Take a job out. Not there: nothing."""
        self._where.pop(job, None)

    def first(self) -> tuple[JobId, Requirements] | None:
        """Return the job that waits longest, those of blocked queues left out; None: there is none."""
        best: tuple[int, JobId, Requirements] | None = None
        for requirements, queue in list(self._queues.items()):
            while queue and self._where.get(queue[0][1]) != (requirements, queue[0][0]):
                queue.popleft()
            if not queue:
                del self._queues[requirements]
                self._blocked.discard(requirements)
            elif requirements not in self._blocked and (best is None or queue[0] < best[:2]):
                best = (*queue[0], requirements)
        return best and best[1:]

    def block(self, requirements: Requirements) -> None:
        """Pass a queue over: no open minion meets its requirements."""
        self._blocked.add(requirements)

    def unblock(self, minion: MinionRecord) -> None:
        """Look again at the queues whose requirements this minion meets: it is open."""
        if self._blocked:
            self._blocked -= {requirements for requirements in self._blocked if meets(minion, requirements)}

    def requirements(self) -> Iterable[Requirements]:
        """Return what the waiting jobs require, each once."""
        return {requirements for requirements, _ in self._where.values()}
