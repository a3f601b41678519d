"""A minion's agent: the real core, in a shell that sends by the simulated network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd.core.agent.steps import BeatNow, Fetch, Fetched, Joined, Leave, LinkChanged, Note, ToHost, ToMaster
from cicd.messages.base import Wire
from cicd.messages.jobhost import HostHello
from cicd.messages.minion import Hello, RunJob
from cicd.testing.simulator.clockwork import Process
from cicd.testing.simulator.network import Connection

if TYPE_CHECKING:
    from cicd.testing.simulator.machine import Machine

FIRST_PERIOD_S = 0.2
LOCAL_S = 0.0005
"""What a message between agent and jobhost takes."""


class SimAgent:
    """One agent's process."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.process = Process()
        self.connection: Connection | None = None
        self._world = machine.world
        self._period_s = FIRST_PERIOD_S
        self._core = machine.world.rules.agent(self._hello(), machine.boot_s)
        self._world.network.connect(self)
        self._tick()

    def _hello(self) -> Hello:
        machine = self.machine
        return Hello(
            minion=machine.id,
            name=machine.name,
            hostname=f"{machine.name}.test",
            version="0",
            platform="linux",
            slots=machine.slots,
            labels=machine.labels,
        )

    def _tick(self) -> None:
        if self.process.alive:
            self.process.do(lambda: self.feed(BeatNow()))
            self._world.clockwork.after(self._period_s / self.machine.rate, self._tick)

    def feed(self, item: LinkChanged | BeatNow | Fetched | Wire) -> None:
        """Hand the core something; carry out what it wants."""
        if isinstance(item, Wire) and not isinstance(item, HostHello):
            self._world.tell(self.machine.name, "agent hears", item)
        for step in self._core.handle(item, self.machine.boot_s):
            match step:
                case ToMaster(message, _):
                    if self.connection is not None:
                        self._world.tell(self.machine.name, "agent says", message)
                        self._world.network.up(self.connection, message)
                case ToHost(message):
                    self.machine.to_host(message)
                case Fetch(run_job):
                    self._fetch(run_job)
                case Joined(_, heartbeat_s):
                    self._period_s = heartbeat_s
                case Leave(code, why):
                    self._world.tell(self.machine.name, "agent leaves", f"{code} {why}")
                    self.end()
                    return
                case Note(_, event, details):
                    self._world.tell(self.machine.name, f"agent notes {event}", details or None)

    def _fetch(self, run_job: RunJob) -> None:
        chance = self._world.chance
        fetched = Fetched(run_job.job, run_job.attempt, "/plugin", "/source")
        if chance.happens(0.02):
            fetched = Fetched(run_job.job, run_job.attempt, "", "", "no such plugin")
            self._world.witness.could_not_fetch(run_job.job, run_job.attempt)
        takes_s = chance.one_of((0.02, 0.1, 2.5))
        self._world.clockwork.after(takes_s, lambda: self.process.do(lambda: self.feed(fetched)))

    def end(self) -> None:
        """Die."""
        if self.process.alive:
            self.process.end()
            self._world.network.agent_gone(self)
