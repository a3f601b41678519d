"""Everything there is in one history: put together, struck by its faults, healed, and judged."""

from __future__ import annotations

from cicd.core.lifecycle import TERMINAL_RUNS
from cicd.testing.simulator.chance import Chance
from cicd.testing.simulator.clockwork import Action, Clockwork
from cicd.testing.simulator.faults import FAULTS, hold
from cicd.testing.simulator.history import BUSY_S, Blow, History
from cicd.testing.simulator.machine import Machine
from cicd.testing.simulator.master import SimMaster
from cicd.testing.simulator.network import Network
from cicd.testing.simulator.people import People
from cicd.testing.simulator.rules import Rules
from cicd.testing.simulator.story import Story
from cicd.testing.simulator.witness import Witness

PATIENCE_S = 900.0
"""How long after the last fault everything must have ended."""
_DOUBT_S = 30.0


class World:
    """One history."""

    def __init__(self, history: History, rules: Rules, *, story: bool = False) -> None:
        self.history = history
        self.rules = rules
        self.clockwork = Clockwork()
        self.chance = Chance(history.seed, "life")
        self.story = Story(on=story)
        self.witness = Witness(self, strict=not rules.left_out)
        self.network = Network(self.clockwork, Chance(history.seed, "network"), history.weather, self.story)
        self.master: SimMaster = SimMaster(self)
        self.network.master = self.master
        self.people: People = People(self, history.wishes)
        self.machines = [Machine(self, index, shape) for index, shape in enumerate(history.machines)]
        self._undo: dict[int, Action] = {}
        self._settled = False

    def tell(self, who: str, what: str, about: object = None) -> None:
        """Add to the story."""
        if self.story.on:
            self.story.tell(self.clockwork.now_s, who, what, about)

    def run(self) -> None:
        """Let the history happen.

        Raises:
            BrokenPromiseError: a promise was broken.
        """
        self.master.start()
        for machine, shape in zip(self.machines, self.history.machines, strict=True):
            machine.start_host(shape.joins_s)
        for number, blow in enumerate(self.history.blows):
            self.clockwork.after(blow.at_s, lambda number=number, blow=blow: self._strike(number, blow))  # type: ignore[misc]  # bound now
        self.clockwork.run(BUSY_S)
        self._heal()
        self.clockwork.run(BUSY_S + PATIENCE_S, lambda: self._settled and self.master.idle)
        self.witness.all_is_well()

    # ---- faults

    def _strike(self, number: int, blow: Blow) -> None:
        machine = self.machines[blow.minion]
        whom = "" if blow.fault.value.startswith("the master") else machine.name
        self.tell("fault", f"{blow.fault.value} {whom} for {blow.for_s:.1f} s")
        undo = FAULTS[blow.fault](self, blow, machine)
        if undo is not None:
            self._undo[number] = undo
            self.clockwork.after(blow.for_s, lambda: self._end(number))

    def _end(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            self.tell("fault", f"{self.history.blows[number].fault.value}: over")
            undo()

    # ---- the end

    def _heal(self) -> None:
        self.tell("fault", "everything is well from now on")
        self.network.calm()
        self.master.fuse = None
        for number in list(self._undo):
            self._end(number)
        self._watch()

    def _watch(self) -> None:
        """Once a second: has everything ended?"""
        for minion in list(self.master.store.minions.values()):
            if minion.suspended or minion.draining:
                hold(self, minion.id, suspended=False)
        for machine in self.machines:
            machine.come_back()
        if self.clockwork.now_s > BUSY_S + _DOUBT_S:
            self.people.resolve_doubts()
        if self.clockwork.now_s > BUSY_S + 2 * _DOUBT_S:
            self.people.give_up_doubts()
        runs = self.master.store.runs.values()
        self._settled = (
            len(self.people.told) == len(self.people.wishes)
            and all(run.state in TERMINAL_RUNS for run in runs)
            and not any(machine.journal for machine in self.machines)
            and not any(attempt.alive for machine in self.machines for attempt in machine.attempts)
            and self.master.idle
        )
        self.clockwork.after(1.0, self._watch)
