"""Histories of a whole cluster under virtual time: every promise holds; without a rule one does not.

A broken one is told by `python -m cicd.testing.simulator --seed N`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from cicd.testing.simulator.__main__ import main
from cicd.testing.simulator.history import history_of
from cicd.testing.simulator.report import play, play_seed, shrink, tell
from cicd.testing.simulator.rules import RULES, without

SHORT = 500
FULL = 50_000
CHUNKS = 10
ENOUGH = 1000
"""Within so many seeds the absence of any rule is noticed; the rarest is seen in one of a hundred."""


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.timeout(14_400)
def test_no_history_breaks_a_promise(chunk: int, size: Callable[[int, int], int], figure: Callable[..., None]) -> None:
    """Every rule holds: whatever breaks, and whenever."""
    count = size(SHORT, FULL) // CHUNKS
    first = chunk * count
    began = time.perf_counter()
    if count * CHUNKS == SHORT:
        broken = {seed: told for seed in range(first, first + count) if (told := play_seed(seed).broken)}
    else:
        broken = in_two_processes(first, first + count)
    took_s = round(time.perf_counter() - began, 1)
    figure("simulation, every rule", first=first, histories=count, violations=len(broken), seconds=took_s)
    for seed in list(broken)[:1]:
        sys.stdout.write("\n".join(tell(history_of(seed), without(""))))
    assert not broken


def in_two_processes(first: int, end: int) -> dict[int, str]:
    middle = (first + end) // 2
    command = (sys.executable, "-m", "cicd.testing.simulator", "--json", "--seeds")
    running = [
        subprocess.Popen([*command, f"{start}..{stop}"], stdout=subprocess.PIPE, text=True)
        for start, stop in ((first, middle), (middle, end))
    ]
    told = [json.loads(process.communicate()[0]) for process in running]
    assert sum(one["histories"] for one in told) == end - first
    return {int(seed): broken for one in told for seed, broken in one["broken"].items()}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.timeout(14_400)
def test_the_absence_of_a_rule_is_noticed(
    rule: str, size: Callable[[int, int], int], figure: Callable[..., None]
) -> None:
    """By the promises alone: the core's own invariants are not looked at."""
    outcomes = (play_seed(seed, rule) for seed in range(ENOUGH))
    if size(0, 1):
        broken = [outcome for outcome in outcomes if outcome.broken]
        figure("simulation, a rule left out", rule=rule, histories=ENOUGH, broken=len(broken))
        assert broken
    else:
        first = next((outcome for outcome in outcomes if outcome.broken), None)
        assert first is not None, f"{ENOUGH} histories without {rule} ({RULES[rule][0]}), and nobody noticed"


def test_a_seed_is_one_history_anywhere() -> None:
    """Told twice it is the same story, in another process with other hashes too."""
    here = tell(history_of(7), without(""))
    assert here == tell(history_of(7), without(""))
    program = "from cicd.testing.simulator.report import *\nprint('\\n'.join(tell(history_of(7), without(''))))"
    environment = {"PYTHONHASHSEED": "5", "PYTHONPATH": ":".join(sys.path)}
    there = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.splitlines() == here


def test_a_rule_that_was_left_out_is_back_afterwards() -> None:
    """Functions of the core are replaced while a history runs, and only then."""
    for rule, (_, rules) in RULES.items():
        before = [getattr(where, name) for where, name, _ in rules.patches]
        play(history_of(0), rules)
        assert [getattr(where, name) for where, name, _ in rules.patches] == before, rule


def test_a_broken_history_is_told_and_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code, story, and only the faults that it takes."""
    seed = next(seed for seed in range(ENOUGH) if play_seed(seed, "R7").broken)
    assert main(["--seed", str(seed), "--without", "R7", "--shrink"]) == 1
    story = capsys.readouterr().out
    assert f"seed {seed} --without R7" in story
    assert "BROKEN at" in story.splitlines()[-1]
    whole = history_of(seed)
    small = shrink(whole, without("R7"))
    assert len(small.blows) <= len(whole.blows)
    assert play(small, without("R7"))[0].broken


def test_the_command_line_says_how_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    """One that holds, several, and what is no range."""
    assert main(["--seed", "1"]) == 0
    assert "seed 1: held" in capsys.readouterr().out
    assert main(["--seed", "1", "--story", "--about", "r001-0"]) == 0
    assert "held, over at" in capsys.readouterr().out
    assert main(["--seeds", "0..3"]) == 0
    assert "3 histories, 0 broken" in capsys.readouterr().out
    assert main(["--seeds", "0..20", "--without", "R10", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["violations"] > 0
    assert main(["--seeds", "0..8", "--without", "R10"]) == 1
    assert "BROKEN" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--seeds", "3"])
