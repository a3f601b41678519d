"""Crash-only: an actor that fails ends its process at once, with a reason and a code of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cicd.actors.crash import EXIT_CRASHED

PROGRAM = """
import threading
from cicd.actors.base import Actor, ask
from cicd.actors.crash import die

class Fragile(Actor):
    def on_receive(self, message):
        if message == "hello":
            return "hello"
        raise RuntimeError("its reason")

threading.excepthook = lambda args: None
other = Fragile.start(die)
fragile = Fragile.start(die)
assert ask(fragile, "hello") == "hello"
fragile.{call}
threading.Event().wait({patience})
"""


def run(call: str, patience_s: float) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(call=call, patience=patience_s)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)


def test_an_actor_that_fails_ends_its_process():
    """Left alone, pykka would leave the rest running without it."""
    ended = run("tell('what?')", 50)
    assert ended.returncode == EXIT_CRASHED
    assert "RuntimeError: its reason" in ended.stderr + ended.stdout
    assert "Fragile" in ended.stderr + ended.stdout


@pytest.mark.parametrize("call", ["tell('hello')", "stop()"])
def test_an_actor_that_works_or_is_stopped_ends_nothing(call):
    """Only failures do."""
    assert run(call, 0.2).returncode == 0
