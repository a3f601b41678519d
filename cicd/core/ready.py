"""Jobs that are ready and wait for a minion: first come, first served, by what they require.

Jobs with the same requirements share a queue; a queue whose requirements nobody open meets does not hold up the others. A job
that leaves by another door (cancelled) is passed over when its turn comes.
"""

from collections import deque
from collections.abc import Iterator

from cicd.messages.base import JobId

Requirements = tuple[tuple[str, ...], tuple[str, ...]]
"""Labels, all of which a minion must carry; artifact tags, one of which it must offer (none: any minion)."""


class ReadyQueue:
    """Queues by requirements."""

    def __init__(self) -> None:
        self._queues: dict[Requirements, deque[tuple[int, JobId]]] = {}
        self._where: dict[JobId, tuple[Requirements, int]] = {}
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

    def heads(self) -> Iterator[tuple[JobId, Requirements]]:
        """Return the first job of each queue, the one that waits longest first."""
        first: list[tuple[int, JobId, Requirements]] = []
        for requirements in list(self._queues):
            queue = self._queues[requirements]
            while queue and self._where.get(queue[0][1]) != (requirements, queue[0][0]):
                queue.popleft()
            if queue:
                first.append((*queue[0], requirements))
            else:
                del self._queues[requirements]
        return iter([(job, requirements) for _, job, requirements in sorted(first)])
