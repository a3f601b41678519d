"""Old and new versions together: what the version before says and understands, and what a version to come might.

`wire_shapes_1.json` records the messages of the version before this one. A peer of that version leaves out what is
newer and overlooks what it is told of it, so it is made of one of ours by translating everything that passes. A peer
from the future says more: fields, kinds, words, and in the end another protocol.

How an old minion is let in, and a new one by an old master, is in `tests/unit/test_joining.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import msgspec
import pytest

from cicd.codec import Codec, UnknownKindError
from cicd.core.agent.agent import Agent
from cicd.core.agent.steps import Leave, Link, LinkChanged
from cicd.core.events import MinionResumed, MinionSuspended, RunCancelRequested
from cicd.errors import ProtocolError
from cicd.messages import bulk, client, minion
from cicd.messages.base import MinionId, RunId, Wire
from cicd.messages.jobhost import LOCAL_VERSION, HostHello
from cicd.messages.minion import Hello, Refused
from cicd.messages.pipeline import JobSpec
from cicd.messages.run import JobState, Status
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import Letter, World
from sample_values import sample
from wire_shapes import RECORD, shapes

OLD: dict[str, Any] = json.loads(RECORD.read_text())
NEW: dict[str, Any] = json.loads(json.dumps(shapes()))
BETWEEN_MACHINES = ("minion to master", "master to minion", "bulk to master", "bulk to minion")
KINDS: dict[str, tuple[type[Wire], ...]] = {
    "minion to master": minion.FROM_MINION,
    "master to minion": minion.TO_MINION,
    "bulk to master": bulk.TO_MASTER,
    "bulk to minion": bulk.TO_MINION,
    "client to master": client.FROM_CLIENT,
    "master to client": client.TO_CLIENT,
}


def unpack(frame: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = msgpack.unpackb(frame)
    return tree


def as_old(tree: Any, kind: Any) -> Any:
    """Return a value of this type as the version before knows it: newer fields gone, at any depth."""
    if isinstance(kind, str) and kind in OLD["structs"] and isinstance(tree, dict):
        known = OLD["structs"][kind]
        kept = {name: as_old(value, known[name]["type"]) for name, value in tree.items() if name in known}
        return kept | ({"_": tree["_"]} if "_" in tree else {})
    if isinstance(kind, list) and kind[:1] == ["list"] and isinstance(tree, list):
        return [as_old(value, kind[1]) for value in tree]
    if isinstance(kind, list) and kind[:1] == ["dict"] and isinstance(tree, dict):
        return {key: as_old(value, kind[2]) for key, value in tree.items()}
    if isinstance(kind, list) and isinstance(tree, dict):  # one of several
        named = tree.get("_")
        return as_old(tree, named if named in kind else next((each for each in kind if each in OLD["structs"]), ""))
    if isinstance(kind, str) and kind in OLD["enums"] and isinstance(tree, str):
        assert tree in OLD["enums"][kind], f"the version before has no {kind} {tree!r}"
    return tree


def as_future(tree: Any) -> Any:
    """Return a value as a version to come might say it: with more fields, at any depth."""
    if isinstance(tree, dict):
        more = {name: as_future(value) for name, value in tree.items()}
        return {**more, "in_the_year_2525": [{"man": None}, 1.5, "ü"]} if "_" in tree or len(tree) > 1 else more
    return [as_future(value) for value in tree] if isinstance(tree, list) else tree


# ---- shapes: every message, in both directions ---------------------------------------------------------


@pytest.mark.parametrize("conversation", OLD["conversations"])
def test_shapes_nothing_that_the_version_before_says_or_needs_has_changed(
    conversation: str, figure: Callable[..., None]
) -> None:
    """A field is never taken away or given another type; one that is new may be left out."""
    cells = 0
    codec = Codec(KINDS[conversation])
    for kind in OLD["conversations"][conversation]:
        assert kind in NEW["conversations"][conversation]
        cls = next(each for each in KINDS[conversation] if each.__name__ == kind)
        tree = unpack(Codec(()).encode(sample(cls)))
        assert type(codec.decode(msgpack.packb(as_old(tree, kind)))) is cls, "an old one is understood"
        assert type(codec.decode(msgpack.packb(as_future(tree)))) is cls, "one from the future is understood"
        cells += 2
    figure("versions: shapes", conversation=conversation, cells=cells, failed=0)


@pytest.mark.parametrize("struct", OLD["structs"])
def test_shapes_fields_stay_what_they_were(struct: str) -> None:
    old, new = OLD["structs"][struct], NEW["structs"][struct]
    for name, was in old.items():
        now = new[name]
        assert now["required"] <= was["required"], f"{struct}.{name} was left out by old peers"
        if isinstance(was["type"], list) and was["type"][0] not in {"list", "dict"}:
            assert set(was["type"]) <= set(now["type"]), f"{struct}.{name}"
        else:
            assert now["type"] == was["type"], f"{struct}.{name}"
    for name, now in new.items():
        assert name in old or not now["required"], f"{struct}.{name} is new and old peers do not say it"


@pytest.mark.parametrize("enum", OLD["enums"])
def test_shapes_words_that_pass_between_machines_are_the_same(enum: str) -> None:
    """An older peer cannot read a message with a word that it does not know."""
    assert set(OLD["enums"][enum]) <= set(NEW["enums"][enum])
    if enum in _enums_between_machines():
        assert OLD["enums"][enum] == NEW["enums"][enum], f"say {enum} in a field of its own"


def _enums_between_machines() -> set[str]:
    found: set[str] = set()

    def walk(kind: Any) -> None:
        if isinstance(kind, list):
            for each in kind:
                walk(each)
        elif kind in OLD["enums"]:
            found.add(kind)
        elif kind in OLD["structs"] and kind not in seen:
            seen.add(kind)
            for each in OLD["structs"][kind].values():
                walk(each["type"])

    seen: set[str] = set()
    for conversation in BETWEEN_MACHINES:
        walk(OLD["conversations"][conversation])
    return found


# ---- stories: minions and master of different versions -------------------------------------------------


@dataclass
class MixedWorld(World):
    """A world in which some peers are of another version: everything to and from them is translated."""

    others: dict[MinionId, Callable[[dict[str, Any], str], Any]] = field(default_factory=dict)

    def deliver_to_master(self, letter: Letter) -> None:
        passed = self._pass(letter, minion.FROM_MINION)
        if passed is not None:
            super().deliver_to_master(passed)

    def deliver_to_minion(self, letter: Letter) -> None:
        passed = self._pass(letter, minion.TO_MINION)
        if passed is not None:
            super().deliver_to_minion(passed)

    def _pass(self, letter: Letter, kinds: tuple[type[Wire], ...]) -> Letter | None:
        translate = self.others.get(letter.minion)
        if translate is None:
            return letter
        kind = type(letter.message).__name__
        tree = translate(unpack(Codec(()).encode(letter.message)), kind)
        try:
            return replace(letter, message=Codec(kinds).decode(msgpack.packb(tree)))
        except UnknownKindError:
            return None


def old(tree: dict[str, Any], kind: str) -> Any:
    return as_old(tree, kind)


def future(tree: dict[str, Any], _kind: str) -> Any:
    return as_future(tree)


STORIES: dict[str, tuple[Callable[[dict[str, Any], str], Any], ...]] = {
    "old minions, new master; new minions, old master": (old, old, old),
    "minions from the future, new master; new minions, master from the future": (future, future, future),
    "an old minion, a new one and one from the future": (old, lambda tree, _kind: tree, future),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_of_mixed_versions_is_one_like_any_other(story: str, figure: Callable[..., None]) -> None:
    """Runs, results, needs, cancel, suspend, a lost minion, a killed master: every promise is checked at every step."""
    minions = {MinionId(f"m{index}"): ModelMinion(f"m{index}", slots=2) for index in range(3)}
    world = MixedWorld(minions, others=dict(zip(minions, STORIES[story], strict=True)))
    for name in minions:
        world.connect(name)
    world.settle()
    runs_with_needs(world)
    a_killed_master_a_restarted_minion_and_a_lost_one(world)
    a_cancelled_run(world)
    figure("versions: stories", story=story, cells=3, failed=0)


def runs_with_needs(world: World) -> None:
    jobs = [JobSpec(name="a"), JobSpec(name="b", needs=("a",)), *(JobSpec(name=f"c{index}") for index in range(4))]
    run = world.submit("p", jobs)
    for _ in range(4):
        for name in world.minions:
            world.start(name)
            world.finish(name, outputs={"k": "v"})
            world.beat(name)
    assert states(world, run) == {JobState.SUCCEEDED}


def a_killed_master_a_restarted_minion_and_a_lost_one(world: World) -> None:
    run = world.submit("p", [JobSpec(name=f"d{index}") for index in range(6)])
    for name in world.minions:
        world.start(name)
    world.restart_master()
    for name in world.minions:
        world.connect(name)
        world.settle()
        world.beat(name)
    world.handle(MinionSuspended(minion=MinionId("m0"), by="x", why="y"))
    world.restart("m1")
    world.handle(MinionResumed(minion=MinionId("m0"), by="x"))
    for _ in range(20):
        world.advance(1.0)
        for name in ("m0", "m1"):  # m2 is silent
            world.beat(name)
            world.start(name)
            world.finish(name)
    assert states(world, run) == {JobState.SUCCEEDED}


def a_cancelled_run(world: World) -> None:
    run = world.submit("p", [JobSpec(name="e"), JobSpec(name="f")])
    for name in ("m0", "m1"):
        world.start(name)
    world.handle(RunCancelRequested(run=run, by="x"))
    for _ in range(15):
        world.advance(1.0)
        for name in ("m0", "m1"):
            world.beat(name)
            if world.minions[MinionId(name)].cancelling:
                world.finish(name, Status.CANCELLED)
    assert states(world, run) == {JobState.CANCELLED}


def states(world: World, run: RunId) -> set[JobState]:
    return {job.state for job in world.store.jobs.values() if job.run == run}


# ---- another protocol ----------------------------------------------------------------------------------


def test_a_minion_of_another_protocol_is_told_so_and_changes_nothing() -> None:
    """The next protocol may mean something else by the same words: nothing of it is taken."""
    world = World.of(ModelMinion("m"))
    hello = msgspec.structs.replace(world.minions[MinionId("m")].hello(), protocol=2)
    before = dict(world.store.minions)
    world.say(MinionId("m"), [hello])
    heard: list[Wire] = []
    world.minions[MinionId("m")].hear = lambda message: heard.append(message) or []  # type: ignore[method-assign, func-returns-value]
    world.settle()
    (said,) = heard
    assert isinstance(said, Refused)
    assert (said.code, said.retryable) == ("protocol", False)
    assert "protocol 1, the minion 2" in said.text
    assert world.store.minions == before


def test_a_minion_that_a_master_of_another_protocol_refuses_ends_with_one_line() -> None:
    hello = Hello(minion=MinionId("m"), name="m", hostname="h", version="1", platform="p", slots=1)
    agent = Agent(hello, 100.0)
    agent.handle(HostHello(version=LOCAL_VERSION, session=0), 100.0)
    agent.handle(LinkChanged(Link.UP), 100.0)
    refusal = Refused(code="protocol", text="this master speaks protocol 2, the minion 1")
    said = Codec(minion.TO_MINION).decode(msgpack.packb(as_future(unpack(Codec(()).encode(refusal)))))
    (leave,) = agent.handle(said, 100.0)
    assert leave == Leave(3, "the master refused this minion: this master speaks protocol 2, the minion 1")


@pytest.mark.parametrize("conversation", OLD["conversations"])
def test_kinds_from_the_future_are_named_in_the_answer_and_nothing_else_happens(conversation: str) -> None:
    """The peer learns what is not understood; `tests/unit/test_minion_registry.py` has the answer."""
    codec = Codec(KINDS[conversation])
    with pytest.raises(UnknownKindError) as caught:
        codec.decode(msgpack.packb({"_": "Teleport", "to": "mars"}))
    assert caught.value.kind == "Teleport"
    with pytest.raises(ProtocolError):
        codec.decode(msgpack.packb(["Teleport"]))
