"""Every history of a few events over two minions and small jobs, each promise checked after each event.

Histories that lead to the same state are followed once: states are compared by what can still matter, times relative to
now. What is enumerated are faults and choices; messages themselves arrive at once and in order (the stateful tests bend
that).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import pytest

from cicd.core.book import Book, JobEntry
from cicd.core.events import JobCancelRequested, JobResolved, MinionResumed, MinionSuspended, RunCancelRequested
from cicd.core.lifecycle import TERMINAL
from cicd.core.settings import CoreSettings
from cicd.messages.base import MinionId
from cicd.messages.cluster import Connection
from cicd.messages.minion import Hello, JobFinished, RunJob
from cicd.messages.pipeline import JobSpec, NeedOn, Retry
from cicd.messages.run import JobState, ResolvedAs, Result, Status
from cicd.testing.model.minion import Key, ModelMinion
from cicd.testing.model.promises import BrokenPromiseError
from cicd.testing.model.world import Letter, World

A = MinionId("a")
SETTINGS = CoreSettings(heartbeat_s=3.0, suspect_s=6.0)


class Small(World):
    """A world whose minions beat by themselves while time passes, unless they are cut off."""

    def __init__(self, *minions: ModelMinion) -> None:
        super().__init__({m.id: m for m in minions}, SETTINGS)
        self.cut_off: set[MinionId] = set()
        for name in self.minions:
            self.connect(name)
        self.settle()

    def deliver_next(self) -> bool:
        """Lose what goes to or comes from a minion that is cut off, then deliver."""
        self.to_master = [letter for letter in self.to_master if letter.minion not in self.cut_off]
        self.to_minions = [letter for letter in self.to_minions if letter.minion not in self.cut_off]
        return super().deliver_next()

    def pass_time(self, seconds: float) -> None:
        """Let time pass with a heartbeat every three seconds, and one at the end."""
        end = self.now_s + seconds
        while self.now_s < end:
            self.advance(min(3.0, end - self.now_s))
            for name, minion in self.minions.items():
                if minion.welcomed:
                    self.say(name, [minion.beat()])
            self.settle()


HELD_BACK = (Hello, RunJob, JobFinished)


class Hesitant(Small):
    """A world whose network keeps Hello, RunJob and JobFinished, and delivers them as late and often as it likes."""

    kept: list[Letter]

    def deliver_next(self) -> bool:
        """Put aside what is kept; deliver the rest."""
        if not hasattr(self, "kept"):
            return super().deliver_next()
        for way in (self.to_master, self.to_minions):
            kept = [letter for letter in way if isinstance(letter.message, HELD_BACK)]
            self.kept += [letter for letter in kept if letter not in self.kept]
            way[:] = [letter for letter in way if letter not in kept]
        return super().deliver_next()

    def deliver_kept(self, place: int) -> None:
        letter = self.kept[place]
        if isinstance(letter.message, RunJob):
            self.deliver_to_minion(letter)
        else:
            self.deliver_to_master(letter)


Act = Callable[[Small], None]
Choices = Iterator[tuple[str, Act]]
Alphabet = Callable[[Small], Choices]


# ---- what can happen -----------------------------------------------------------------------------------


def restart(world: Small, name: MinionId) -> None:
    world.minions[name].restart()
    world.connect(name)


def cut_off(world: Small, name: MinionId) -> None:
    world.cut_off ^= {name}


def goodbye(world: Small, name: MinionId) -> None:
    world.say(name, [world.minions[name].goodbye()])
    world.settle()
    world.disconnect(name)


def start(world: Small, name: MinionId) -> None:
    minion = world.minions[name]
    world.say(name, minion.start(min(minion.fetching)))


def end(world: Small, name: MinionId, status: Status) -> None:
    minion = world.minions[name]
    world.say(name, minion.finish(min(minion.alive), status))


def obey(world: Small, name: MinionId) -> None:
    minion = world.minions[name]
    world.say(name, minion.finish(min(minion.cancelling), Status.CANCELLED))


def repeat(world: Small, name: MinionId) -> None:
    """The oldest result ever, said in a session that is long over."""
    (job, attempt), status = min(world.minions[name].results.items())
    world.say(name, [JobFinished(session=1, job=job, attempt=attempt, result=Result(status=status))])


def suspend(world: Small) -> None:
    if world.cluster.book.minions[A].record.suspended:
        world.handle(MinionResumed(minion=A, by="x"))
    else:
        world.handle(MinionSuspended(minion=A, by="x", why="y"))


def cancel(world: Small) -> None:
    for run in list(world.cluster.book.runs):
        world.handle(RunCancelRequested(run=run, by="x"))


def cancel_job(world: Small) -> None:
    job = next(job for job in world.cluster.book.jobs.values() if job.record.state not in TERMINAL)
    world.handle(JobCancelRequested(job=job.record.id, by="x"))


def resolve(world: Small, how: ResolvedAs) -> None:
    job = next(job for job in world.cluster.book.jobs.values() if job.record.state is JobState.UNKNOWN)
    world.handle(JobResolved(job=job.record.id, how=how, by="x"))


def refuse(world: Small, name: MinionId) -> None:
    minion = world.minions[name]
    world.say(name, minion.cannot_start(min(minion.fetching)))


def work(world: Small, names: str = "ab") -> Choices:
    """What jobs do on minions."""
    for name in map(MinionId, names):
        minion = world.minions[name]
        if minion.fetching:
            yield f"start {name}", partial(start, name=name)
        if minion.alive:
            yield f"succeed {name}", partial(end, name=name, status=Status.SUCCEEDED)
        if minion.cancelling:
            yield f"obey {name}", partial(obey, name=name)


def restarts(world: Small, names: str = "ab") -> Choices:
    """Jobhosts are killed and started again."""
    for name in map(MinionId, names):
        yield f"restart {name}", partial(restart, name=name)


def trouble(world: Small, names: str = "ab") -> Choices:
    """What befalls connections; minions that leave."""
    for name in map(MinionId, names):
        yield f"connect {name}", partial(Small.connect, name=name)
        yield f"cut off or on {name}", partial(cut_off, name=name)
        if world.connections[name]:
            yield f"disconnect {name}", partial(Small.disconnect, name=name)
            if world.minions[name].welcomed:
                yield f"goodbye {name}", partial(goodbye, name=name)


def results(world: Small, names: str = "ab") -> Choices:
    """Jobs that fail, results that are said again."""
    for name in map(MinionId, names):
        if world.minions[name].alive:
            yield f"fail {name}", partial(end, name=name, status=Status.FAILED)
        if world.minions[name].results:
            yield f"repeat {name}", partial(repeat, name=name)


def people(world: Small) -> Choices:
    """What people ask for."""
    yield "suspend or resume a", suspend
    if any(not run.record.cancel_by for run in world.cluster.book.runs.values()):
        yield "cancel", cancel


def one_job(world: Small) -> Choices:
    """A person cancels the first job that has not ended."""
    if any(not job.cancel_by and job.record.state not in TERMINAL for job in world.cluster.book.jobs.values()):
        yield "cancel one job", cancel_job


def words(world: Small) -> Choices:
    """What a person says of a job in doubt."""
    if any(job.record.state is JobState.UNKNOWN for job in world.cluster.book.jobs.values()):
        for how in ResolvedAs:
            yield f"resolve as {how}", partial(resolve, how=how)


def refusals(world: Small, names: str = "ab") -> Choices:
    """Minions that cannot fetch what they were given."""
    for name in map(MinionId, names):
        if world.minions[name].fetching:
            yield f"refuse {name}", partial(refuse, name=name)


def master(_world: Small) -> Choices:
    yield "restart master", World.restart_master


def time(_world: Small) -> Choices:
    yield "6 s", lambda w: w.pass_time(6.0)
    yield "13.5 s", lambda w: w.pass_time(13.5)


def letters(world: Small) -> Choices:
    """What a hesitant network may deliver."""
    assert isinstance(world, Hesitant)
    for place, letter in enumerate(world.kept):
        yield f"deliver {letter.message}", partial(Hesitant.deliver_kept, place=place)


def beats(world: Small, names: str = "ab") -> Choices:
    """Heartbeats; a Hello again where none was answered."""
    for name in map(MinionId, names):
        minion = world.minions[name]
        if minion.welcomed:
            yield f"beat {name}", partial(World.beat, name=name)
        elif world.connections[name]:
            yield f"hello again {name}", lambda w, name=name: w.say(name, [w.minions[name].hello()])


# ---- the search ----------------------------------------------------------------------------------------


def key(world: Small) -> tuple[object, ...]:
    """All that can matter for what comes: times relative to now, sessions and attempts to the newest."""
    now, book = world.now_s, world.cluster.book
    newest = {job.id: job.attempt for job in world.store.jobs.values()}
    jobs = tuple(
        (
            job.state,
            job.lost,
            job.retries,
            job.granted,
            job.cancel_by,
            job.avoid,
            job.minion,
            job.id in book.jobs and _order_key(book, book.jobs[job.id], now),
            world.store.runs[job.run].cancel_by,
        )
        for job in world.store.jobs.values()
    )
    minions = tuple(
        (
            m.record.fenced,
            m.record.suspended,
            m.connection,
            m.record.id in world.cut_off,
            tuple(m.running),
            min(6.0, now - m.seen_boot_s),
            max(0.0, m.expires_boot_s - now) if m.connection is not Connection.LOST else 0,
        )
        for m in book.minions.values()
    )
    kept = frozenset(_letter_key(world, letter, newest) for letter in getattr(world, "kept", ()))
    return (jobs, minions, kept, book.ring._hand, *(_minion_key(world, m, newest) for m in world.minions.values()))


def _order_key(book: Book, job: JobEntry, now: float) -> tuple[object, ...]:
    record = job.record
    held = record.minion is not None and job.attempt is not None
    return (
        held and job.attempt.session - book.minions[record.minion].record.session,
        max(0.0, job.run_due_boot_s - now) if record.state is JobState.ASSIGNED else 0,
        max(0.0, job.cancel_due_boot_s - now) if held and job.cancel_by else 0,
        round(book.timers.left_s(record.id, now), 1) if record.id in book.timers else None,
        held and job.absent_boot_s and job.absent_boot_s - now,
    )


def _letter_key(world: Small, letter: Letter, newest: dict[str, int]) -> tuple[object, ...]:
    message, minion = letter.message, world.minions[letter.minion]
    session = message.session and message.session - world.cluster.book.minions[letter.minion].record.session
    if isinstance(message, Hello):
        inventory = tuple((e.job, e.attempt - newest[e.job], e.state) for e in message.inventory)
        return (letter.minion, "Hello", session, message.sent_boot_s == minion.hello_sent_s, inventory)
    return (letter.minion, type(message).__name__, session, message.job, message.attempt - newest[message.job])


def _minion_key(world: Small, m: ModelMinion, newest: dict[str, int]) -> tuple[object, ...]:
    def relative(keys: Iterable[Key]) -> frozenset[Key]:
        return frozenset((job, attempt - newest[job]) for job, attempt in keys)

    return (
        m.session and m.session - world.cluster.book.minions[m.id].record.session,
        m.welcomed,
        bool(world.connections[m.id]),
        world.bound.get(m.id, 0) == world.connections[m.id],
        round(max(0.0, m.deadline_s - m.now_s), 1),
        frozenset(
            (e.job, e.attempt - newest[e.job], e.state, e.result and e.result.status) for e in m.journal.values()
        ),
        relative(m.alive),
        relative(m.fetching),
        relative(m.cancelling),
        relative(key for key in m.acknowledged if key[1] == newest[key[0]]),
        relative(key for key in m.started if key[1] == newest[key[0]]),
        relative(sorted(m.results)[:1]),
        frozenset(job for job, _ in m.started),
    )


@dataclass
class Found:
    """What a search went through: steps taken, different states, states that jobs were in."""

    steps: int = 0
    states: int = 0
    jobs: set[JobState] = field(default_factory=set)


def explore(first: Small, depth: int, *alphabets: Alphabet) -> Found:
    """Follow every history of up to `depth` events, breadth first."""
    first.check_always = False
    found = Found()
    seen = {key(first)}
    layer = [(pickle.dumps(first), ())]
    for _ in range(depth):
        following = []
        for image, history in layer:
            for name, act in chain.from_iterable(alphabet(pickle.loads(image)) for alphabet in alphabets):  # noqa: S301  our own
                world: Small = pickle.loads(image)  # noqa: S301  our own
                story = (*history, name)
                try:
                    act(world)
                    world.settle()
                    world.check()
                except Exception as error:
                    raise BrokenPromiseError(f"{error!r} after: {' > '.join(story)}") from error
                found.steps += 1
                found.jobs |= {job.state for job in world.store.jobs.values()}
                state = key(world)
                if state not in seen:
                    seen.add(state)
                    following.append((pickle.dumps(world), story))
        layer = following
    found.states = len(seen)
    return found


def hesitant_world(*jobs: JobSpec) -> Small:
    """A world in which the Hellos of the beginning are still on their way, too."""
    world = Hesitant(ModelMinion("a"), ModelMinion("b"))
    world.kept = []
    for name in world.minions:
        world.minions[name].restart()
        world.connect(name)
        world.settle()
        world.deliver_kept(-1)
        world.settle()
    world.submit("p", jobs)
    world.settle()
    return world


def world_of(*jobs: JobSpec, slots: int = 1) -> Small:
    world = Small(ModelMinion("a", slots=slots), ModelMinion("b", slots=slots))
    world.submit("p", jobs)
    world.settle()
    return world


def only(names: str, *alphabets: Callable[[Small, str], Choices]) -> Alphabet:
    return lambda world: chain.from_iterable(alphabet(world, names) for alphabet in alphabets)


ONE = JobSpec(name="x")
ONCE = JobSpec(name="x", idempotent=False)
CHAIN = (ONE, JobSpec(name="y", needs=("x",)))
TRIED = (JobSpec(name="x", retry=Retry(attempts=1, backoff_s=5.0)),)
CLEANED = (
    JobSpec(name="x", retry=Retry(attempts=1)),
    JobSpec(name="y", needs=("x",), needs_on={"x": NeedOn.FAILURE}),
    JobSpec(name="z", needs=("y",), needs_on={"y": NeedOn.ANY}, allow_failure=True),
)
MIXED = (ONCE, JobSpec(name="y"), JobSpec(name="z", needs=("x",)))
_S = JobState
_HELD = {_S.ASSIGNED, _S.RUNNING}

SEARCHES = {
    "everything": (3, (ONE,), 1, (work, restarts, trouble, results, people, master, time), {*_HELD}),
    "everything, once": (3, (ONCE,), 1, (work, restarts, trouble, results, people, master, time), {*_HELD}),
    "one minion in trouble": (5, (ONE,), 1, (work, only("a", restarts, trouble), time), {_S.SUCCEEDED}),
    "in doubt": (5, (ONCE,), 1, (work, only("a", restarts, trouble, results), time), {_S.UNKNOWN, _S.SUCCEEDED}),
    "cancelled": (5, CHAIN, 1, (work, only("a", restarts, trouble), people), {_S.CANCELLED, _S.SUCCEEDED}),
    "lost again and again": (8, (ONE,), 1, (work, restarts, time), {_S.POISONED}),
    "a master that restarts": (6, CHAIN, 1, (work, restarts, results, master, time), {_S.WAITING, _S.SKIPPED}),
    "tried again": (5, TRIED, 1, (work, only("a", restarts, results), refusals, master, time), {_S.BACKOFF, _S.FAILED}),
    "cleaned up": (
        6,
        CLEANED,
        1,
        (work, restarts, results, one_job),
        {_S.SKIPPED, _S.CANCELLED, _S.FAILED, _S.SUCCEEDED},
    ),
    "a person's word": (7, (ONCE,), 1, (work, restarts, results, words, master), {_S.UNKNOWN, _S.FAILED}),
    "three jobs, two slots": (5, MIXED, 2, (work, only("a", restarts, trouble), results), {_S.UNKNOWN, _S.SKIPPED}),
}
"""Depth, jobs, slots of each minion, what can happen, and the states that the search must have seen."""


@pytest.mark.parametrize("name", SEARCHES)
def test_no_history_breaks_a_promise(name: str) -> None:
    depth, jobs, slots, alphabets, reached = SEARCHES[name]
    found = explore(world_of(*jobs, slots=slots), depth, *alphabets)
    assert found.steps > 500, found
    assert reached <= found.jobs, found


@pytest.mark.parametrize("job", [ONE, ONCE], ids=["again", "once"])
def test_no_message_breaks_a_promise_however_late_and_often_it_arrives(job: JobSpec) -> None:
    found = explore(hesitant_world(job), 8, letters, beats, work)
    assert found.steps > 500, found
    assert JobState.SUCCEEDED in found.jobs
