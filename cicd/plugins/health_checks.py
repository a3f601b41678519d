"""Self-checks of a minion: the operator's own commands, run again and again, one task each.

    at the start, then every_s after each end -> run, bounded in time and output -> Checks to the agent

Exit code 0 is well. The agent makes health of it (`cicd.core.health`); here only the outcomes are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from cicd.clock import Clock
from cicd.messages.jobhost import Checks, CheckState
from cicd.plugins.command import run_command

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

TEXT_LIMIT = 200
"""Characters of what a check says."""


@dataclass(frozen=True)
class HealthCheck:
    """A self-check.

    Attributes:
        name: unique.
        command: program and arguments; no shell.
        every_s: between an end and the next start.
        timeout_s: of one run.
    """

    name: str
    command: tuple[str, ...]
    every_s: float
    timeout_s: float


class HealthChecks:
    """Runs the checks of a minion. Needs a running loop.

    Args:
        checks: what to run.
        env: their environment.
        tell: called with how all of them stand, whenever one has ended.
    """

    def __init__(
        self, checks: Sequence[HealthCheck], env: Mapping[str, str], clock: Clock, tell: Callable[[Checks], None]
    ) -> None:
        self._checks = tuple(checks)
        self._env = dict(env)
        self._clock = clock
        self._tell = tell
        self._states: dict[str, CheckState] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pids: dict[str, int] = {}

    @property
    def pids(self) -> set[int]:
        """The children that run checks now; they are watched and reaped here."""
        return set(self._pids.values())

    @property
    def states(self) -> Checks:
        """How the checks stand that have run."""
        return Checks(states=tuple(self._states.values()))

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._keep(check)) for check in self._checks]

    async def close(self) -> None:
        """End, and all that runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, check: HealthCheck) -> None:
        while True:
            await self._run(check)
            await asyncio.sleep(check.every_s)

    async def _run(self, check: HealthCheck) -> None:
        def started(pid: int) -> None:
            self._pids[check.name] = pid

        try:
            end = await run_command(
                check.command, env=self._env, timeout_s=check.timeout_s, clock=self._clock, started=started
            )
            ok, text = end.ok, end.text
        except OSError as error:
            ok, text = False, f"not started: {error}"
        finally:
            self._pids.pop(check.name, None)
        before = self._states.get(check.name, CheckState(name=check.name))
        if ok:
            after = CheckState(name=check.name, passed=True)
        else:
            after = replace(before, failures=before.failures + 1, text=text[:TEXT_LIMIT])
        self._states[check.name] = after
        if bool(before.failures) == ok or not before.passed:
            log.info("check.ended", check=check.name, ok=ok, text=text[:TEXT_LIMIT])
        self._tell(self.states)
