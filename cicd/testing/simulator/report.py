"""Running seeds, and telling how they went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from cicd.testing.simulator.history import History, history_of
from cicd.testing.simulator.rules import Rules, without
from cicd.testing.simulator.world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """How a history went.

    Attributes:
        broken: the promise that was broken, in words; empty: none.
        actions: how much happened.
        at_s: when it was over.
    """

    seed: int
    broken: str
    actions: int
    at_s: float


def play(history: History, rules: Rules, *, story: bool = False) -> tuple[Outcome, World]:
    """Let a history happen."""
    world = World(history, rules, story=story)
    broken = ""
    with rules.apply():
        try:
            world.run()
        except Exception as error:  # noqa: BLE001  whatever fails in there is what is looked for
            broken = f"{type(error).__name__}: {error}"
    return Outcome(history.seed, broken, world.clockwork.count, world.clockwork.now_s), world


def play_seed(seed: int, left_out: str = "") -> Outcome:
    """Let a seed's history happen, without a rule perhaps."""
    return play(history_of(seed), without(left_out))[0]


def shrink(history: History, rules: Rules) -> History:
    """Return a history that still breaks a promise, with as few faults and wishes as can be found."""

    def breaks(smaller: History) -> bool:
        return bool(play(smaller, rules)[0].broken)

    index = 0
    while index < len(history.blows):
        smaller = replace(history, blows=history.blows[:index] + history.blows[index + 1 :])
        if breaks(smaller):
            history = smaller
        else:
            index += 1
    index = 0
    while index < len(history.wishes):
        smaller = replace(history, wishes=history.wishes[:index] + history.wishes[index + 1 :])
        if breaks(smaller):
            history = smaller
        else:
            index += 1
    calm = replace(history, weather=replace(history.weather, loss=0.0, repeats=0.0, slow=0.0))
    return calm if breaks(calm) else history


def tell(history: History, rules: Rules, *, words: Iterable[str] = (), quiet: bool = True) -> list[str]:
    """Return the story of a history, with its shape before it and its end after it."""
    outcome, world = play(history, rules, story=True)
    left_out = f" --without {rules.left_out}" if rules.left_out else ""
    head = [f"seed {history.seed}{left_out}: {len(history.machines)} minions, {len(history.blows)} faults"]
    for number, wish in enumerate(history.wishes):
        jobs = ", ".join(
            f"{job.name}{'' if job.idempotent else '!'}{'<' + '+'.join(job.needs) if job.needs else ''}"
            for job in wish.spec.jobs
        )
        head.append(f"  wish {number} ({wish.spec.name}) at {wish.at_s:.1f} s: {jobs}   (! not idempotent, < needs)")
    end = (
        f"BROKEN at {outcome.at_s:.3f} s: {outcome.broken}" if outcome.broken else f"held, over at {outcome.at_s:.1f} s"
    )
    return [*head, *world.story.lines(words=tuple(words), quiet=quiet), end]
