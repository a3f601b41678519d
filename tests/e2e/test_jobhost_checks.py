"""Self-checks and leaving, with a real jobhost; the test speaks for the agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cicd.messages.base import JobId
from cicd.messages.jobhost import Cancel, Checks, CheckState, Leave, LogClosed, LogStored, ResultAcked, Stopping
from cicd.testing.jobhost_lab import JobhostLab
from cicd.testing.waiting import wait_until

pytestmark = pytest.mark.e2e


def check(name: str, *command: str, every_s: float = 0.05, timeout_s: float = 10.0) -> str:
    """One more self-check for the jobhost's configuration."""
    return (
        f'\n[[health.checks]]\nname = "{name}"\ncommand = {json.dumps(command)}\n'
        f"every_s = {every_s}\ntimeout_s = {timeout_s}\n"
    )


def state_of(lab: JobhostLab, name: str, failures: int = 1) -> CheckState:
    """Wait until a check has failed so often in a row, or has passed (0); return how it stands."""

    def found(message: Checks) -> CheckState | None:
        states = {state.name: state for state in message.states}
        state = states.get(name)
        return state if state and (state.failures >= failures if failures else not state.failures) else None

    state = found(lab.talk.wait_for(Checks, lambda message: found(message) is not None))
    assert state is not None
    return state


def test_checks_tell_the_first_line_count_failures_and_recover(lab):
    flag = lab.folder / "flag"
    script = f"test -e {flag} || {{ echo; echo 'no flag here'; echo more; exit 3; }}"
    lab.start(check("flag", "sh", "-c", script) + check("nothing", "no-such-program") + check("mute", "false"))
    flagged = state_of(lab, "flag", 2)
    assert (flagged.passed, flagged.text) == (False, "no flag here")
    assert state_of(lab, "nothing").text == "there is no program 'no-such-program'"
    assert state_of(lab, "mute").text == "exit code 1"
    flag.touch()
    assert state_of(lab, "flag", 0) == CheckState(name="flag", passed=True)
    flag.unlink()
    assert state_of(lab, "flag").passed


def test_the_next_agent_is_told_how_the_checks_stand(lab):
    lab.start(check("rare", "sh", "-c", "echo why; exit 1", every_s=1000))
    state_of(lab, "rare")
    lab.talk.kill()
    lab.talk = lab.agents.accept()
    assert state_of(lab, "rare") == CheckState(name="rare", failures=1, text="why")


def test_a_check_is_bounded_in_time_and_output_and_leaves_nothing(lab):
    pids = lab.folder / "pids"
    hides = f"setsid sleep 1000 & echo $! >> {pids}; echo $$ >> {pids}; echo hello; sleep 1000"
    lab.start(check("hides", "sh", "-c", hides, timeout_s=0.5, every_s=60) + check("floods", "yes", timeout_s=0.5))
    assert state_of(lab, "hides").text == "no end within 0.5 s: hello"
    assert state_of(lab, "floods", 2).text == "no end within 0.5 s: y"
    for pid in pids.read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_what_a_check_sees_of_the_environment(lab):
    shows = 'echo "$(pwd) $SECRET_OF_THE_HOST $PASSED ${HOME:+home}"; exit 1'
    config = 'pass_env = ["PASSED"]' + check("env", "sh", "-c", shows)
    lab.start(config, env={"SECRET_OF_THE_HOST": "x", "PASSED": "yes"})
    assert state_of(lab, "env").text == "/  yes home"


@pytest.mark.parametrize("killed", [True, False])
def test_a_jobhost_that_ends_leaves_no_check_behind(lab, killed):
    pids = lab.folder / "pids"
    lab.start(check("long", "sh", "-c", f"echo $$ > {pids}; exec sleep 1000", timeout_s=1000))
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), 10)
    if killed:
        lab.process.kill()
    else:
        lab.process.terminate()
        lab.talk.wait_for(Stopping)
        lab.talk.exit(0)
    lab.process.wait(20)
    wait_until(lambda: not Path(f"/proc/{pids.read_text().strip()}").exists(), 10, "the check to be gone")


# ---- leaving -------------------------------------------------------------------------------------------


def test_it_leaves_when_it_is_told_to_and_everything_is_delivered(lab):
    lab.start()
    job = lab.begin("waits")
    lab.wait_for_output("waiting")
    lab.talk.send(Leave())
    lab.talk.send(Cancel(job=job, attempt=1, grace_s=30))
    lab.finished()
    lab.talk.wait_for(LogClosed)
    lab.talk.send(Leave())
    lab.talk.send(ResultAcked(job=job, attempt=1))
    lab.talk.send(Leave())
    lab.talk.send(Cancel(job=JobId("01run-7"), attempt=1, grace_s=0))  # an answer shows that it is still there
    lab.finished("01run-7")
    lab.talk.send(ResultAcked(job=JobId("01run-7"), attempt=1))
    for index in (0, 7):
        lab.talk.send(LogStored(job=JobId(f"01run-{index}"), attempt=1))
    assert not any(isinstance(message, Stopping) for message in lab.talk.heard)
    lab.talk.send(Leave())
    assert lab.talk.wait_for(Stopping).idle
    lab.talk.exit(0)
    assert lab.process.wait(20) == 0
    assert "minion.drained" in lab.stderr


def test_a_stop_with_jobs_says_that_it_is_not_idle(lab):
    lab.start("cancel_grace_s = 0.0")
    lab.begin("waits")
    lab.wait_for_output("waiting")
    lab.process.terminate()
    assert not lab.talk.wait_for(Stopping).idle
    lab.talk.exit(0)
    assert lab.process.wait(20) == 0
