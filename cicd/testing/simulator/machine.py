"""A minion's machine: its clock, what survives on its disk, and the processes that live and die on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd.messages.base import MinionId, Wire
from cicd.messages.minion import Entry
from cicd.plugins.journal import Key
from cicd.testing.simulator import history
from cicd.testing.simulator.agent import LOCAL_S, SimAgent
from cicd.testing.simulator.clockwork import Action
from cicd.testing.simulator.jobhost import SimHost

if TYPE_CHECKING:
    from cicd.testing.simulator.attempt import SimAttempt
    from cicd.testing.simulator.world import World

_AGENT_AGAIN_S = 0.5


class Machine:
    """One minion.

    Attributes:
        journal: what is durable on its disk.
        attempts: all processes of jobs, also those whose jobhost is dead.
        away: whether it has ended on purpose, and nobody has started it again.
        asleep: how many times over it is suspended.
    """

    def __init__(self, world: World, index: int, shape: history.Machine) -> None:
        self.world = world
        self.name = f"m{index}"
        self.rate = shape.rate
        self.slots = shape.slots
        self.labels = shape.labels
        self.journal: dict[Key, Entry] = {}
        self.journal_full = 0
        self.attempts: list[SimAttempt] = []
        self.asleep = 0
        self.host: SimHost | None = None
        self.agent: SimAgent | None = None
        self._folder = 0
        self._begun_s = world.clockwork.now_s - world.chance.one_of((10.0, 1000.0, 1e6))
        self._starting = 0
        self.away = False

    @property
    def id(self) -> MinionId:
        """Made with the data folder."""
        return MinionId(f"{self.name}-{self._folder}")

    @property
    def boot_s(self) -> float:
        """Its clock since boot; goes on while it is suspended."""
        return (self.world.clockwork.now_s - self._begun_s) * self.rate

    def at_boot(self, boot_s: float, action: Action) -> None:
        """Run an action when the clock shows that."""
        self.world.clockwork.after((boot_s - self.boot_s) / self.rate + 1e-6, action)

    # ---- life and death

    def start_host(self, delay_s: float) -> None:
        """Have the supervisor start a jobhost; it works once nothing of an earlier one is left."""
        self._starting += 1
        self.away = False
        number = self._starting

        def start() -> None:
            if number != self._starting:
                return
            if self.asleep or any(attempt.alive for attempt in self.attempts):
                self.world.clockwork.after(0.05, start)
                return
            self.host = SimHost(self)
            self.world.tell(self.name, "jobhost starts")
            self._start_agent(self.host)

        self.world.clockwork.after(delay_s, start)

    def _start_agent(self, host: SimHost) -> None:
        if host.process.alive and host is self.host and not host.stopped:
            if self.asleep:
                self.world.clockwork.after(0.1, lambda: self._start_agent(host))
                return
            self.agent = SimAgent(self)
            self.world.tell(self.name, "agent starts")
            host.process.do(host.greet)

    def kill_agent(self) -> None:
        """The agent dies; its jobhost starts another."""
        if self.agent is not None and self.agent.process.alive:
            self.agent.end()
            if self.host is not None:
                host = self.host
                self.world.clockwork.after(_AGENT_AGAIN_S, lambda: host.process.do(lambda: self._start_agent(host)))

    def kill_host(self, again_s: float | None) -> None:
        """The jobhost dies; so does its agent, and the reapers end what ran. None: nobody starts it again."""
        if self.host is None:
            return
        self.host.process.end()
        self.host = None
        if self.agent is not None:
            self.agent.end()
        for attempt in self.attempts:
            attempt.orphan()
        if again_s is None:
            self.away = True
        else:
            self.start_host(again_s)

    def crash(self, again_s: float, *, folder_lost: bool = False) -> None:
        """Everything dies at once; the clock begins anew."""
        self.asleep = 0
        for attempt in self.attempts:
            attempt.kill("crash")
        if folder_lost:
            self.journal.clear()
            self._folder += 1
        self._starting += 1
        if self.host is not None:
            self.kill_host(again_s)
        else:
            self.start_host(again_s)
        self._begun_s = self.world.clockwork.now_s - 5.0

    def leave(self) -> Action | None:
        """Stop on purpose; return what starts it again, once it has ended."""
        host = self.host
        if host is None:
            return None
        host.process.do(host.stop)

        def come_back() -> None:
            if self.host is None:
                self.start_host(0.5)
            elif self.host is host:
                self.world.clockwork.after(0.5, come_back)

        return come_back

    def come_back(self) -> None:
        """One that has left since it was drained is started again."""
        if self.away:
            self.away = False
            self.start_host(0.5)

    @staticmethod
    def pause(*stopped: SimHost | SimAgent | None) -> Action:
        """Pause processes; return what lets them go on."""
        processes = [one.process for one in stopped if one is not None]
        for process in processes:
            process.pause()

        def go_on() -> None:
            for process in processes:
                process.resume()

        return go_on

    def sleep(self) -> Action:
        """The whole machine is suspended; return what wakes it."""
        self.asleep += 1
        age = self._begun_s
        attempts = [attempt for attempt in self.attempts if not attempt.over]
        for attempt in attempts:
            attempt.process.pause()
        go_on = self.pause(self.agent, self.host)

        def wake() -> None:
            if age == self._begun_s:  # it has not crashed meanwhile
                self.asleep -= 1
            if not self.asleep:
                for attempt in attempts:
                    attempt.look()
            for attempt in attempts:
                attempt.process.resume()
                self.world.witness.check_overlap(attempt.key[0])
            go_on()

        return wake

    # ---- between agent and jobhost

    def to_host(self, message: Wire) -> None:
        """The agent tells the jobhost."""
        host = self.host
        if host is not None:
            self.world.clockwork.after(LOCAL_S, lambda: host.process.do(lambda: host.hear(message)))

    def to_agent(self, message: Wire) -> None:
        """The jobhost tells the agent, if there is one."""
        agent = self.agent
        if agent is not None and agent.process.alive:
            self.world.clockwork.after(LOCAL_S, lambda: agent.process.do(lambda: agent.feed(message)))
