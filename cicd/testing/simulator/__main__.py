"""Run histories from the command line: see `cicd.testing.simulator`. Exit code 1: a promise was broken."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from cicd.testing.simulator.history import history_of
from cicd.testing.simulator.report import play_seed, shrink, tell
from cicd.testing.simulator.rules import RULES, without

_TOLD = 3
"""How many broken histories are told."""


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _range(text: str) -> range:
    first, dots, end = text.partition("..")
    if not (dots and first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise argparse.ArgumentTypeError(f"{text!r}: two numbers, such as 0..1000 (1000 is the first left out)")
    return range(int(first), int(end))


def _parser() -> argparse.ArgumentParser:
    rules = "\n".join(f"  {name:<10} {says}" for name, (says, _) in RULES.items())
    parser = argparse.ArgumentParser(
        prog="python -m cicd.testing.simulator",
        description="A whole cluster under virtual time, struck by faults; every promise is checked.",
        epilog=f"rules that can be left out:\n{rules}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, metavar="N", help="one history")
    which.add_argument("--seeds", type=_range, metavar="A..B", help="many; B is the first left out")
    parser.add_argument("--without", default="", choices=["", *RULES], metavar="RULE", help="leave out a rule")
    parser.add_argument("--story", action="store_true", help="tell the history, whether it holds or not")
    parser.add_argument("--shrink", action="store_true", help="first take away every fault that is not needed")
    parser.add_argument("--about", action="append", default=[], metavar="JOB", help="tell only of this job (again)")
    parser.add_argument("--json", action="store_true", help="many: one line of JSON instead of stories")
    return parser


def _story(seed: int, left_out: str, *, shrunk: bool, about: Sequence[str] = ()) -> str:
    history, rules = history_of(seed), without(left_out)
    return "\n".join(tell(shrink(history, rules) if shrunk else history, rules, words=about))


def _one(options: argparse.Namespace) -> int:
    outcome = play_seed(options.seed, options.without)
    if options.story or outcome.broken:
        shrunk = options.shrink and bool(outcome.broken)
        _say(_story(options.seed, options.without, shrunk=shrunk, about=options.about))
    else:
        _say(f"seed {options.seed}: held ({outcome.actions} actions, over at {outcome.at_s:.1f} s)")
    return 1 if outcome.broken else 0


def _many(options: argparse.Namespace) -> int:
    broken = [outcome for outcome in (play_seed(seed, options.without) for seed in options.seeds) if outcome.broken]
    if options.json:
        found = {str(outcome.seed): outcome.broken for outcome in broken}
        _say(json.dumps({"histories": len(options.seeds), "violations": len(broken), "broken": found}))
        return 1 if broken else 0
    for outcome in broken[:_TOLD]:
        _say(_story(outcome.seed, options.without, shrunk=options.shrink) + "\n")
    _say(
        f"{len(options.seeds)} histories, {len(broken)} broken: {' '.join(str(one.seed) for one in broken)}".rstrip(
            ": "
        )
    )
    return 1 if broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _parser().parse_args(arguments)
    return _one(options) if options.seeds is None else _many(options)


if __name__ == "__main__":
    sys.exit(main())
