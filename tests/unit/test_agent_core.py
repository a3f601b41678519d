"""The agent's core by itself: what is hard to bring about through its actor."""

from __future__ import annotations

from cicd.codec import Codec
from cicd.core.agent.agent import ACKED_KEPT, Agent
from cicd.core.agent.inventory import Inventory
from cicd.core.agent.steps import BeatNow, Fetch, Fetched, Leave, Level, Link, LinkChanged, Note, Step, ToHost, ToMaster
from cicd.messages.base import Digest, ErrorReply, JobId, MinionId, RunId, Wire, job_id
from cicd.messages.jobhost import (
    LOCAL_VERSION,
    Fence,
    Finished,
    HostHello,
    LogGrew,
    Pulse,
    ResultAcked,
    Start,
    Started,
    Stopping,
)
from cicd.messages.jobhost import Leave as LeaveHost
from cicd.messages.minion import (
    Beat,
    BeatAck,
    Entry,
    EntryState,
    Fenced,
    Goodbye,
    Hello,
    JobFinished,
    JobStarted,
    Refused,
    ResultAck,
    RunJob,
    Welcome,
)
from cicd.messages.run import Result, Status

JOB = job_id(RunId("01run"), 0)
DONE = Result(status=Status.SUCCEEDED)
HELLO = Hello(minion=MinionId("id-m"), name="m", hostname="h", version="1", platform="p", slots=2)


def joined(session: int = 1, held: int = 0) -> Agent:
    agent = Agent(HELLO, 100.0)
    agent.handle(LinkChanged(Link.UP), 100.0)
    agent.handle(HostHello(version=LOCAL_VERSION, session=held, capabilities=("leave",)), 100.0)
    agent.handle(Welcome(session=session, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=100.0), 100.0)
    return agent


def said(steps: list[Step]) -> list[Wire]:
    return [step.message for step in steps if isinstance(step, ToMaster)]


def run_job(job: JobId = JOB) -> RunJob:
    return RunJob(
        session=1,
        run=RunId("01run"),
        run_number=1,
        job=job,
        name="a",
        attempt=1,
        pipeline="p",
        plugin=Digest("a" * 64),
        plugin_size_bytes=1,
        source=Digest("b" * 64),
        source_size_bytes=1,
    )


def test_what_the_link_says_is_noted():
    """A refused key is an error with a hint; a lost connection is news only to one that was welcomed."""
    agent = Agent(HELLO, 100.0)
    (refused,) = agent.handle(LinkChanged(Link.REFUSED, "x"), 100.0)
    assert isinstance(refused, Note)
    assert (refused.level, refused.event) == (Level.ERROR, "master.refused_our_key")
    assert agent.handle(LinkChanged(Link.DOWN), 100.0) == []
    agent = joined()
    (lost,) = agent.handle(LinkChanged(Link.DOWN, "x"), 101.0)
    assert isinstance(lost, Note)
    assert lost.event == "master.disconnected"
    assert agent.handle(BeatNow(), 101.0) == []
    assert agent.handle(Started(job=JOB, attempt=1, pid=5, started_s=1.0), 101.0) == []
    assert agent.handle(Finished(job=JOB, attempt=1, result=DONE), 101.0) == []
    hello = said(agent.handle(LinkChanged(Link.UP), 102.0))[0]
    assert isinstance(hello, Hello)
    assert (hello.session, [entry.result for entry in hello.inventory]) == (1, [DONE])


def test_a_session_that_goes_on_keeps_its_count_and_its_memory():
    """A master that restarted grants the session that the jobhost holds."""
    agent = joined()
    agent.handle(ResultAck(job=JOB, attempt=1), 101.0)
    agent.handle(LinkChanged(Link.DOWN), 102.0)
    agent.handle(LinkChanged(Link.UP), 103.0)
    steps = agent.handle(Welcome(session=1, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=103.0), 103.0)
    assert [beat.seq for beat in said(steps) if isinstance(beat, Beat)] == [2]
    assert agent.handle(run_job(), 104.0) == []


def test_memory_of_what_was_acknowledged_has_a_bound():
    """The oldest is forgotten."""
    agent = joined()
    for number in range(ACKED_KEPT + 1):
        agent.handle(ResultAck(job=job_id(RunId("r"), number), attempt=1), 101.0)
    assert agent.handle(run_job(job_id(RunId("r"), 1)), 101.0) == []
    assert agent.handle(run_job(job_id(RunId("r"), 0)), 101.0) == [Fetch(run_job(job_id(RunId("r"), 0)))]


def test_being_told_twice_that_the_session_is_over_ends_it_once():
    """The second comes while the jobhost still kills."""
    agent = joined()
    assert ToHost(Fence()) in agent.handle(Fenced(floor=2), 101.0)
    assert agent.handle(Fenced(floor=2), 101.0) == []
    assert agent.handle(BeatNow(), 109.0) == []


def test_a_start_that_is_told_after_the_end_changes_nothing():
    """The result is what counts."""
    agent = joined()
    agent.handle(Finished(job=JOB, attempt=1, result=DONE), 101.0)
    assert agent.handle(Started(job=JOB, attempt=1, pid=5, started_s=1.0), 101.0) == []
    (again,) = said(agent.handle(run_job(), 102.0))
    assert isinstance(again, JobFinished)


def test_a_run_that_comes_again_while_it_runs_is_answered():
    """And while it is fetched it is not fetched again."""
    agent = joined()
    assert agent.handle(run_job(), 101.0) == [Fetch(run_job())]
    assert agent.handle(run_job(), 101.0) == []
    agent.handle(Started(job=JOB, attempt=1, pid=5, started_s=1.0), 101.0)
    (again,) = said(agent.handle(run_job(), 102.0))
    assert isinstance(again, JobStarted)


def test_a_run_that_comes_again_while_the_jobhost_starts_it_is_not_fetched_again():
    """A second fetch that failed made an attempt FAILED that was about to run (seed 1586 of the simulator)."""
    agent = joined()
    agent.handle(run_job(), 101.0)
    (start,) = agent.handle(Fetched(JOB, 1, "/plugin", "/source"), 102.0)
    assert start == ToHost(Start(run_job=run_job(), plugin_dir="/plugin", source_dir="/source"))
    # The jobhost dedupes, and may have dropped the first one for want of a lease.
    assert agent.handle(run_job(), 103.0) == [start]
    assert agent.handle(Fetched(JOB, 1, "", "", error="no such plugin"), 104.0) == []


def test_what_the_master_does_not_take_is_noted():
    """Only `hello_first` is acted upon, and only by one that thought it was welcome."""
    agent = joined()
    (note,) = agent.handle(ErrorReply(code="unknown_kind", text="?"), 101.0)
    assert isinstance(note, Note)
    agent.handle(LinkChanged(Link.DOWN), 101.0)
    assert agent.handle(ErrorReply(code="hello_first", text="?"), 101.0) == []


def test_one_that_nobody_welcomed_leaves_without_a_word():
    """There is no session to say goodbye for."""
    agent = Agent(HELLO, 100.0)
    (leave,) = agent.handle(Stopping(), 100.0)
    assert isinstance(leave, Leave)


def test_a_jobhost_that_hangs_gets_no_heartbeat_until_it_pulses():
    """Its pulse is what counts; what is not for the agent's core is passed over."""
    agent = joined()
    (note,) = agent.handle(BeatNow(), 104.0)
    assert isinstance(note, Note)
    agent.handle(Pulse(boot_s=104.0), 104.0)
    assert agent.handle(LogGrew(job=JOB, attempt=1, path="", size_bytes=1), 104.0) == []
    assert [type(message) for message in said(agent.handle(BeatNow(), 104.0))] == [Beat]
    assert agent.handle(ResultAck(job=JOB, attempt=1), 104.0) == [ToHost(ResultAcked(job=JOB, attempt=1))]


def test_it_leaves_when_the_answer_to_its_newest_beat_says_so():
    """An older answer may be of before a resume; the jobhost decides whether nothing is left to deliver."""
    agent = joined()
    agent.handle(BeatNow(), 101.0)
    for seq, leave, told in ((1, True, 0), (2, False, 0), (2, True, 1)):
        steps = agent.handle(BeatAck(session=1, seq=seq, sent_boot_s=101.0, leave=leave), 101.0)
        assert steps.count(ToHost(LeaveHost())) == told
    steps = agent.handle(Stopping(idle=True), 102.0)
    assert said(steps) == [Goodbye(session=1, idle=True)]


def test_a_master_that_does_not_know_the_minions_key_makes_it_enrol_anew():
    """Another agent does that, from the start; any other refusal that is final ends the minion."""
    agent = joined()
    assert agent.handle(Refused(code="not_enrolled", text="enrol", retryable=True), 101.0) == [Leave(75, "enrol")]
    (leave,) = agent.handle(Refused(code="own_key", text="no"), 101.0)
    assert isinstance(leave, Leave)
    assert leave.code == 3


def test_results_that_are_not_ascii_fit_into_a_message_too() -> None:
    """A frame has bytes, not characters."""
    result = Result(status=Status.FAILED, traceback="\N{PILE OF POO}" * 16_000, message="\u6f22" * 2_000)
    entries = [Entry(job=JobId(f"r-{n}"), attempt=1, state=EntryState.FINISHED, result=result) for n in range(40)]
    alone: list[Entry] = []
    fitting = Inventory(entries).fitting(alone.append)
    assert len(fitting) == 40
    assert alone
    beat = Beat(session=1, seq=1, sent_boot_s=1.0, inventory=fitting)
    assert Codec([Beat]).decode(Codec([Beat]).encode(beat)) == beat
