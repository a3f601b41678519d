"""Jobs that are ready and wait for a minion: the higher priority first, then first come, first served.

Jobs with the same requirements share a line; a line whose requirements nobody open meets does not hold up the others.
Such a line is blocked: it is passed over, without looking at 10,000 minions again, until one opens that meets them. In
a line, the jobs of one concurrency group share a queue; while another job holds the group, it is passed over too. A job
that leaves by another door (cancelled) is passed over when its turn comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

from cicd.messages.base import JobId, MinionId
from cicd.messages.cluster import MinionRecord

Order = tuple[int, int]
"""Less goes first: the priority, negative, and a number that counts up."""


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


@dataclass(slots=True)
class _Line:
    """The jobs with the same requirements.

    Attributes:
        queues: by concurrency group (empty: none), as heaps; what has left is dropped when it comes first.
        heads: a heap with an entry for each group that is not held: where its queue's first job stands, or stood.
        listed: the one entry of each group in `heads` that counts; it never stands behind the queue's first job.
    """

    queues: dict[str, list[tuple[Order, JobId]]] = field(default_factory=dict)
    heads: list[tuple[Order, str]] = field(default_factory=list)
    listed: dict[str, Order] = field(default_factory=dict)

    def list_head(self, group: str) -> None:
        order = self.queues[group][0][0]
        self.listed[group] = order
        heappush(self.heads, (order, group))


class ReadyQueue:
    """Lines by requirements."""

    def __init__(self) -> None:
        self._lines: dict[Requirements, _Line] = {}
        self._where: dict[JobId, tuple[Order, Requirements, str]] = {}
        self._blocked: set[Requirements] = set()
        self._held: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, job: JobId) -> bool:
        return job in self._where

    def add(self, job: JobId, requirements: Requirements, *, group: str = "", priority: int = 0) -> None:
        """Put a job behind those of its priority."""
        self._count += 1
        order = (-priority, self._count)
        self._where[job] = (order, requirements, group)
        line = self._lines.setdefault(requirements, _Line())
        queue = line.queues.setdefault(group, [])
        heappush(queue, (order, job))
        if queue[0][0] == order and group not in self._held:
            line.list_head(group)

    def remove(self, job: JobId) -> None:
        """Take a job out. Not there: nothing."""
        self._where.pop(job, None)

    def first(self) -> tuple[JobId, Requirements] | None:
        """Return the job whose turn it is; those of blocked lines and held groups are left out. None: there is none."""
        best: tuple[Order, JobId, Requirements] | None = None
        for requirements, line in list(self._lines.items()):
            head = self._head(line)
            if not line.queues:
                del self._lines[requirements]
                self._blocked.discard(requirements)
            elif head is not None and requirements not in self._blocked and (best is None or head[0] < best[0]):
                best = (*head, requirements)
        return best and best[1:]

    def block(self, requirements: Requirements) -> None:
        """Pass a line over: no open minion meets its requirements."""
        self._blocked.add(requirements)

    def unblock(self, minion: MinionRecord) -> None:
        """Look again at the lines whose requirements this minion meets: it is open."""
        if self._blocked:
            self._blocked -= {requirements for requirements in self._blocked if meets(minion, requirements)}

    def hold(self, group: str) -> None:
        """Pass the jobs of a group over: one of them runs."""
        self._held.add(group)

    def release(self, group: str) -> None:
        """Let the next job of a group have its turn."""
        self._held.discard(group)
        for line in self._lines.values():
            if group not in line.listed and self._clean(line, group):
                line.list_head(group)

    @property
    def held(self) -> frozenset[str]:
        """The groups that are held."""
        return frozenset(self._held)

    def requirements(self) -> Iterable[Requirements]:
        """Return what the waiting jobs of groups that are not held require, each once."""
        return {requirements for _, requirements, group in self._where.values() if group not in self._held}

    def in_order(self) -> list[JobId]:
        """Return all waiting jobs in the order of their turns, as far as minions and groups allow. Costs a sort."""
        return sorted(self._where, key=lambda job: self._where[job][0])

    def _head(self, line: _Line) -> tuple[Order, JobId] | None:
        """Return the first job of a line; what is listed and is not (any longer) true is dropped or listed anew."""
        while line.heads:
            order, group = line.heads[0]
            if line.listed.get(group) == order:
                queue = self._clean(line, group)
                if queue and group not in self._held:
                    if queue[0][0] == order:
                        return queue[0]
                    heappop(line.heads)
                    line.list_head(group)
                    continue
                line.listed.pop(group, None)
            heappop(line.heads)
        return None

    def _clean(self, line: _Line, group: str) -> list[tuple[Order, JobId]]:
        """Drop what has left from the front of a queue, and the queue when it is empty; return it."""
        queue = line.queues.get(group, [])
        while queue:
            order, job = queue[0]
            place = self._where.get(job)
            if place is not None and place[0] == order:
                return queue
            heappop(queue)
        line.queues.pop(group, None)
        return queue
