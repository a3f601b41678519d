"""The agent's Minion: what it says to the master and to the jobhost, message by message."""

from __future__ import annotations

import pykka
import pytest

from actors_support import Deaths
from cicd.actors.base import Inbox
from cicd.actors.minion import LinkNews, Minion
from cicd.actors.self_health import SelfHealth
from cicd.codec import Codec
from cicd.core.agent.steps import EXIT_OK, EXIT_REFUSED, BeatNow, Fetched
from cicd.core.health import HealthLimits
from cicd.messages.base import Digest, ErrorReply, MinionId, RunId, job_id
from cicd.messages.jobhost import (
    LOCAL_VERSION,
    Cancel,
    Checks,
    CheckState,
    Fence,
    FenceDone,
    Finished,
    Grant,
    HostHello,
    Pulse,
    ResultAcked,
    Start,
    Started,
    Stopping,
)
from cicd.messages.minion import (
    FROM_MINION,
    TO_MINION,
    Beat,
    BeatAck,
    CancelJob,
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
from cicd.testing.fake_clock import FakeClock
from cicd.testing.waiting import wait_until
from cicd.transport.base import LinkState

JOB = job_id(RunId("01run"), 0)
DONE = Result(status=Status.SUCCEEDED)


class Agent:
    """A Minion actor with everything around it recorded."""

    def __init__(self) -> None:
        self.clock = FakeClock(boot_s=100.0, wall_s=1_000_000.0)
        self.inbox: Inbox[object] = Inbox()
        self.sent: list[object] = []
        self.told: list[object] = []
        self.fetches: list[RunJob] = []
        self.sessions: list[int] = []
        self.periods: list[float] = []
        self.left: list[tuple[int, str]] = []
        self.deaths = Deaths()
        self.health = SelfHealth(HealthLimits(clock_off_s=60, checks={"gpu": 1}), self.clock)
        self._encode = Codec(TO_MINION)
        self._decode = Codec(FROM_MINION)
        hello = Hello(minion=MinionId("id-m"), name="m", hostname="h", version="1", platform="p", slots=2)
        self.ref = Minion.start(
            inbox=self.inbox,
            dialer=self,
            tell_host=lambda *messages: self.told.extend(messages),
            fetch=self.fetches.append,
            hello=hello,
            on_session=self.sessions.append,
            on_period=self.periods.append,
            load=lambda: hello.load,
            health=self.health,
            clock=self.clock,
            leave=lambda code, why: self.left.append((code, why)),
            die=self.deaths,
        )

    # the Dialer that the actor sends with
    def send(self, frame: bytes, *, urgent: bool = False) -> None:
        self.sent.append(self._decode.decode(frame))

    def say(self, *items: object) -> None:
        """Hand items over and wait until the actor has taken them in."""
        for item in items:
            framed = type(item) in TO_MINION
            self.inbox.put([self._encode.encode(item) if framed else item])
        self.ref.ask("settled", timeout=5)
        wait_until(lambda: not len(self.inbox))
        self.ref.ask("settled", timeout=5)

    def of(self, kind):
        return [message for message in [*self.sent, *self.told] if type(message) is kind]

    def join(self, session: int = 1, **host) -> None:
        self.say(
            LinkNews(LinkState.CONNECTED, "there"),
            HostHello(version=LOCAL_VERSION, session=host.pop("session", 0), **host),
            Welcome(session=session, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=100.0),
        )
        # A beat of this session at once: only that proves what the minion does not know of.
        assert [beat.session for beat in self.of(Beat)] == [session]
        self.sent = [message for message in self.sent if not isinstance(message, Beat)]


@pytest.fixture
def agent():
    made = Agent()
    yield made
    pykka.ActorRegistry.stop_all(timeout=5)
    assert not made.deaths.seen


def run_job(session: int = 1, attempt: int = 1) -> RunJob:
    return RunJob(
        session=session,
        run=RunId("01run"),
        run_number=1,
        job=JOB,
        name="a",
        attempt=attempt,
        pipeline="p",
        plugin=Digest("a" * 64),
        plugin_size_bytes=1,
        source=Digest("b" * 64),
        source_size_bytes=1,
    )


def test_hello_waits_for_the_jobhost_and_tells_its_inventory(agent):
    """An agent that knows nothing yet says nothing: an empty inventory would be a lie."""
    agent.say(LinkNews(LinkState.CONNECTED, "there"))
    assert agent.sent == []
    entry = Entry(job=JOB, attempt=3, state=EntryState.RUNNING)
    agent.say(HostHello(version=LOCAL_VERSION, session=7, entries=(entry,)))
    (hello,) = agent.of(Hello)
    assert (hello.session, hello.inventory, hello.name) == (7, (entry,), "m")


def test_the_lease_runs_from_when_the_heartbeat_was_sent(agent):
    """R4: not from when its answer arrived."""
    agent.join()
    assert agent.of(Grant) == [Grant(session=1, deadline_boot_s=110.0)]
    agent.clock.advance(5.0)
    agent.say(Pulse(boot_s=105.0), BeatNow())
    (beat,) = agent.of(Beat)
    assert beat.sent_boot_s == 105.0
    agent.clock.advance(4.0)
    agent.say(BeatAck(session=1, seq=beat.seq, sent_boot_s=beat.sent_boot_s))
    assert agent.of(Grant)[-1].deadline_boot_s == 115.0
    assert (agent.sessions, agent.periods) == ([1], [1.0])


def test_a_hanging_jobhost_keeps_no_lease(agent):
    """The heart beats for the jobhost, not for the agent."""
    agent.join()
    agent.clock.advance(3.5)
    agent.say(BeatNow())
    assert agent.of(Beat) == []
    agent.say(Pulse(boot_s=103.5), BeatNow())
    assert len(agent.of(Beat)) == 1


def test_a_run_is_fetched_once_and_started_once(agent):
    """R7: RUN may come again at any time."""
    agent.join()
    agent.say(run_job(), run_job())
    assert len(agent.fetches) == 1
    agent.say(Fetched(JOB, 1, "/plugin", "/source"))
    assert [(start.plugin_dir, start.source_dir) for start in agent.of(Start)] == [("/plugin", "/source")]
    agent.say(Started(job=JOB, attempt=1, pid=5, started_s=1.0), run_job())
    assert len(agent.of(JobStarted)) == 2
    assert len(agent.of(Start)) == 1


def test_a_result_is_in_every_heartbeat_until_it_is_acknowledged(agent):
    """R6: at least once."""
    agent.join()
    agent.say(Finished(job=JOB, attempt=1, result=DONE))
    assert agent.of(JobFinished)[0].result == DONE
    agent.say(BeatNow(), BeatNow())
    assert [beat.inventory[0].result for beat in agent.of(Beat)] == [DONE, DONE]
    agent.say(ResultAck(job=JOB, attempt=1), BeatNow())
    assert agent.of(Beat)[-1].inventory == ()
    assert agent.of(ResultAcked) == [ResultAcked(job=JOB, attempt=1)]


def test_results_that_fit_into_no_heartbeat_are_sent_by_themselves(agent):
    """The entry stays in the inventory, so that nobody takes the attempt for gone."""
    agent.join()
    big = Result(status=Status.SUCCEEDED, outputs={"x": "y" * 15_000}, traceback="z" * 10_000)
    for index in range(12):
        agent.say(Finished(job=job_id(RunId("01run"), index), attempt=1, result=big))
    reported = len(agent.of(JobFinished))
    agent.say(BeatNow())
    (beat,) = agent.of(Beat)
    assert len(beat.inventory) == 12
    alone = [entry for entry in beat.inventory if entry.result is None]
    assert alone
    assert len(agent.of(JobFinished)) - reported == len(alone)


def test_a_fenced_session_is_killed_before_the_next_hello(agent):
    """R3: an older session kills its runners, then says Hello as nobody."""
    agent.join()
    agent.say(Fenced(floor=1))
    assert agent.of(Fence) == []  # the floor is the least session that is valid
    agent.say(Fenced(floor=2), Fenced(floor=2))
    assert len(agent.of(Fence)) == 1
    assert len(agent.of(Hello)) == 1
    agent.say(BeatNow(), run_job(session=1))
    assert agent.of(Beat) == []
    dead = Entry(job=JOB, attempt=1, state=EntryState.DEAD)
    agent.say(FenceDone(entries=(dead,)))
    assert (agent.of(Hello)[-1].session, agent.of(Hello)[-1].inventory) == (0, (dead,))


def test_a_run_of_an_older_session_is_dropped(agent):
    """It was meant for somebody who is no more."""
    agent.join(session=2)
    agent.say(run_job(session=1))
    assert agent.fetches == []


def test_what_cannot_be_fetched_is_a_failed_attempt(agent):
    """And a cancel that overtakes the fetching reaches the jobhost."""
    agent.join()
    agent.say(run_job(), Fetched(JOB, 1, "", "", error="no such plugin"))
    assert "no such plugin" in agent.of(JobFinished)[0].result.message
    agent.say(run_job(attempt=2), CancelJob(session=1, job=JOB, attempt=2, grace_s=1.0))
    agent.say(Fetched(JOB, 2, "/plugin", "/source"))
    assert agent.of(Start) == []
    assert agent.of(Cancel)[0].attempt == 2


def test_hello_is_said_again_when_it_is_asked_for_or_unanswered(agent):
    """A master that has restarted does not know this connection."""
    agent.join()
    agent.say(ErrorReply(code="hello_first", text=""))
    assert len(agent.of(Hello)) == 2
    agent.clock.advance(2.5)
    agent.say(BeatNow())
    assert len(agent.of(Hello)) == 3


def test_a_refusal_for_good_ends_the_agent_with_its_reason(agent):
    """Starting again would not help; a refusal that may pass is only told."""
    agent.say(Refused(code="name_taken", text="taken", retryable=True))
    assert agent.left == []
    agent.say(Refused(code="protocol", text="too old"))
    assert agent.left == [(EXIT_REFUSED, "the master refused this minion: too old")]


def test_an_older_jobhost_is_not_spoken_with(agent):
    """The local protocol has a version of its own."""
    agent.say(HostHello(version=LOCAL_VERSION + 1, session=0))
    assert agent.left[0][0] == EXIT_REFUSED


def test_stopping_says_goodbye_after_the_last_results(agent):
    """What ended while stopping is told before the minion leaves."""
    agent.join()
    agent.say(Finished(job=JOB, attempt=1, result=DONE), Stopping())
    assert [type(message) for message in agent.sent[-2:]] == [JobFinished, Goodbye]
    assert agent.left == [(EXIT_OK, "")]


def test_nonsense_from_the_master_is_answered_and_changes_nothing(agent):
    """A frame that cannot be read ends nothing."""
    agent.join()
    agent.inbox.put([b"\xc1"])
    wait_until(lambda: agent.of(ErrorReply))


def test_a_welcome_to_an_earlier_hello_is_not_taken(agent):
    """It may name a session that is no more; and a running session is not replaced by one that comes late."""
    agent.say(LinkNews(LinkState.CONNECTED, "there"), HostHello(version=LOCAL_VERSION, session=0))
    agent.clock.advance(2.5)
    agent.say(BeatNow())
    assert len(agent.of(Hello)) == 2
    agent.say(Welcome(session=1, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=100.0))
    assert agent.of(Grant) == []
    agent.say(Welcome(session=2, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=102.5))
    agent.say(Welcome(session=3, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=102.5))
    assert agent.sessions == [2]


def test_a_run_that_comes_late_is_not_run_again(agent):
    """Neither before the Welcome, nor of another session, nor after its result was acknowledged."""
    agent.say(LinkNews(LinkState.CONNECTED, "there"), HostHello(version=LOCAL_VERSION, session=0), run_job())
    assert agent.fetches == []
    agent.say(Welcome(session=1, lease_s=10.0, heartbeat_s=1.0, sent_boot_s=100.0), run_job(session=2))
    assert agent.fetches == []
    agent.say(Finished(job=JOB, attempt=1, result=DONE), ResultAck(job=JOB, attempt=1), run_job())
    assert agent.fetches == []


# ---- health --------------------------------------------------------------------------------------------


def test_heartbeats_say_how_the_checks_stand_and_how_far_the_clock_is_off(agent):
    def reasons() -> list[str]:
        agent.say(BeatNow())
        return [reason.text for reason in agent.of(Beat)[-1].health]

    agent.join()
    assert [reason.text for reason in agent.of(Hello)[-1].health] == ["check gpu has not run yet"]
    agent.say(Checks(states=(CheckState(name="gpu", failures=1, text="no device"),)))
    assert reasons() == ["check gpu: no device"]
    agent.say(Checks(states=(CheckState(name="gpu", passed=True),)))
    assert reasons() == []
    beat = agent.of(Beat)[-1]
    wall_s = agent.clock.wall_s()
    agent.say(BeatAck(session=1, seq=beat.seq - 1, sent_boot_s=1.0, wall_s=wall_s + 7200))
    assert reasons() == [], "an answer to an earlier beat tells nothing of how long it took"
    beat = agent.of(Beat)[-1]
    agent.say(BeatAck(session=1, seq=beat.seq, sent_boot_s=1.0, wall_s=wall_s + 7200))
    assert reasons() == ["clock 2.0 h off the master's, limit 60 s"]
    agent.say(BeatAck(session=1, seq=agent.of(Beat)[-1].seq, sent_boot_s=1.0))
    assert reasons(), "an older master does not tell the time, which changes nothing"
