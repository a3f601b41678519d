"""The network between agents and the master: connections that break, messages that get lost, repeated or late.

Either end of a connection learns of its end by itself, some time or other. A partition loses what is under way, or
holds it back until it heals, as TCP does for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cicd.core.agent.steps import Link, LinkChanged
from cicd.messages.base import Wire
from cicd.testing.simulator.chance import Chance
from cicd.testing.simulator.clockwork import Action, Clockwork
from cicd.testing.simulator.history import Weather
from cicd.testing.simulator.story import Story
from cicd.transport.base import PeerId

if TYPE_CHECKING:
    from cicd.testing.simulator.agent import SimAgent
    from cicd.testing.simulator.master import SimMaster

_CALM = Weather(loss=0.0, repeats=0.0, slow=0.0, slow_s=0.0)


@dataclass(eq=False)
class Connection:
    """One connection, as each end sees it."""

    peer: PeerId
    agent: SimAgent
    at_agent: bool = True
    at_master: bool = True

    @property
    def place(self) -> str:
        """The machine it comes from."""
        return self.agent.machine.name


@dataclass
class Way:
    """One direction between a machine and the master."""

    cuts: int = 0
    late_s: float = 0.0
    holds: bool = False
    held: list[Action] = field(default_factory=list)


class Network:
    """Carries messages.

    Args:
        chance: decides on each message.
        weather: how often things go wrong.
    """

    def __init__(self, clockwork: Clockwork, chance: Chance, weather: Weather, story: Story) -> None:
        self._clockwork = clockwork
        self._chance = chance
        self._weather = weather
        self._story = story
        self._count = 0
        self._ways: dict[tuple[str, str], Way] = {}
        self.connections: dict[PeerId, Connection] = {}
        self.master: SimMaster

    def calm(self) -> None:
        """From now on everything arrives, at once and once."""
        self._weather = _CALM
        for way in self._ways.values():
            way.late_s = 0.0

    # ---- messages

    def up(self, connection: Connection, message: Wire) -> None:
        """An agent sends to the master."""
        if connection.at_agent:
            self._post(
                self._way(connection.place, "up"), connection.place, message, lambda: self._in(connection, message)
            )

    def down(self, peer: PeerId, message: Wire) -> None:
        """The master sends to a connection."""
        connection = self.connections.get(peer)
        if connection is not None and connection.at_master:
            way = self._way(connection.place, "down")
            self._post(way, "master", message, lambda: self._out(connection, message))

    def _in(self, connection: Connection, message: Wire) -> None:
        master = self.master
        if connection.at_master:
            master.process.do(lambda: master.receive(connection.peer, message))

    def _out(self, connection: Connection, message: Wire) -> None:
        agent = connection.agent
        if connection.at_agent:
            agent.process.do(lambda: agent.feed(message))

    def _post(self, way: Way, who: str, message: Wire, arrive: Action) -> None:
        chance, weather = self._chance, self._weather
        if chance.happens(weather.loss):
            self._story.tell(self._clockwork.now_s, who, "lost:", message)
            return
        for _ in range(2 if chance.happens(weather.repeats) else 1):
            slow = chance.happens(weather.slow)
            delay_s = chance.between(0, weather.slow_s) if slow else 0.002
            self._clockwork.after(delay_s + way.late_s, lambda: self._pass(way, arrive))

    @staticmethod
    def _pass(way: Way, arrive: Action) -> None:
        if not way.cuts:
            arrive()
        elif way.holds:
            way.held.append(arrive)

    def _way(self, place: str, direction: str) -> Way:
        return self._ways.setdefault((place, direction), Way())

    # ---- partitions

    def cut(self, place: str, directions: tuple[str, ...], *, holds: bool) -> Callable[[], None]:
        """Cut a machine off; return what heals that."""
        ways = [self._way(place, direction) for direction in directions]
        for way in ways:
            way.cuts += 1
            way.holds = holds

        def heal() -> None:
            for way in ways:
                way.cuts -= 1
                if not way.cuts:
                    held, way.held = way.held, []
                    for arrive in held:
                        self._clockwork.after(0.001, arrive)

        return heal

    def bloat(self, place: str, direction: str, late_s: float) -> None:
        """From now on everything in this direction takes so much longer; what is under way is not overtaken by it."""
        self._way(place, direction).late_s = late_s

    def is_cut(self, place: str) -> bool:
        """Whether a machine and the master cannot talk."""
        return any(self._way(place, direction).cuts for direction in ("up", "down"))

    # ---- connections

    def connect(self, agent: SimAgent, delay_s: float = 0.0) -> None:
        """Keep trying to connect an agent."""

        def attempt() -> None:
            if not agent.process.alive or agent.connection is not None:
                return
            if not self.master.listens or self.is_cut(agent.machine.name) or agent.process.paused:
                self._clockwork.after(self._chance.between(0.1, 1.0), attempt)
                return
            self._count += 1
            connection = Connection(PeerId(f"c{self._count}".encode()), agent)
            self.connections[connection.peer] = connection
            agent.connection = connection
            agent.process.do(lambda: agent.feed(LinkChanged(Link.UP, connection.peer.decode())))

        self._clockwork.after(delay_s + self._chance.between(0.01, 0.1), attempt)

    def drop(self, connection: Connection, agent_in_s: float, master_in_s: float) -> None:
        """A connection is no more; either end learns of it by itself."""
        self._clockwork.after(agent_in_s, lambda: self.lose_at_agent(connection))
        self._clockwork.after(master_in_s, lambda: self._lose_at_master(connection))

    def lose_at_agent(self, connection: Connection) -> None:
        """The agent's end learns that the connection is no more, and makes another."""
        if not connection.at_agent:
            return
        connection.at_agent = False
        agent = connection.agent
        if agent.connection is connection:
            agent.connection = None
            agent.process.do(lambda: agent.feed(LinkChanged(Link.DOWN)))
            self.connect(agent, 0.1)

    def _lose_at_master(self, connection: Connection) -> None:
        if connection.at_master:
            connection.at_master = False
            del self.connections[connection.peer]
            master = self.master
            master.process.do(lambda: master.peer_gone(connection.peer))

    def master_gone(self) -> None:
        """The master's process has ended: so have its connections."""
        for connection in list(self.connections.values()):
            connection.at_master = False
            late_s = 10.0 if self.is_cut(connection.place) else 0.2
            agent_in_s = self._chance.between(0, late_s)
            self._clockwork.after(agent_in_s, lambda connection=connection: self.lose_at_agent(connection))  # type: ignore[misc]  # bound now
        self.connections.clear()

    def agent_gone(self, agent: SimAgent) -> None:
        """An agent's process has ended: so has its connection."""
        connection = agent.connection
        if connection is not None:
            connection.at_agent = False
            agent.connection = None
            self.drop(connection, 0.0, self._chance.between(0, 12.0 if self.is_cut(connection.place) else 0.5))
