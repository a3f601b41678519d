"""A run's story: why its jobs waited, why they were given where, who interfered; told from the journal alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from actors_support import run_record
from cicd.cli.story import of_records
from cicd.client.position import position_of
from cicd.core.cluster import Cluster
from cicd.core.events import (
    Event,
    MinionBeat,
    MinionDisconnected,
    MinionFinishedJob,
    MinionSaidHello,
    MinionStartedJob,
    MinionSuspended,
    Now,
    Origin,
    RunCancelRequested,
    RunSubmitted,
    Ticked,
)
from cicd.core.settings import CoreSettings
from cicd.messages.base import JobId, MinionId, RunId
from cicd.messages.client import ExplainRun, JobView, RunAnswer, StoryLine, StoryLines
from cicd.messages.minion import Beat, Hello, JobFinished, JobStarted
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.messages.run import AttemptRecord, JobRecord, JobState, Result, RunState, Status
from cicd.replay import segments, story, writer
from cicd.replay.files import Limits
from cicd.replay.reader import read
from cicd.replay.story import Story
from cicd.replay.writer import InputJournal

WALL_S = 1_767_600_000.0


class Master:
    """A core with a journal, and minions that say what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(CoreSettings())
        self.boot_s = 100.0
        self.journal = InputJournal(folder, self.cluster, self.now, Limits())
        self.seq = 0
        self.specs: dict[str, PipelineSpec] = {}

    @property
    def now(self) -> Now:
        return Now(boot_s=self.boot_s, wall_s=WALL_S + self.boot_s)

    def tell(self, *events: Event, after_s: float = 0.25) -> None:
        self.boot_s += after_s
        self.journal.handle(events, self.now)

    def join(self, name: str, slots: int = 1, labels: tuple[str, ...] = ()) -> None:
        hello = Hello(
            minion=MinionId(f"id-{name}"),
            name=name,
            hostname="h",
            version="1",
            platform="p",
            slots=slots,
            labels=labels,
        )
        event = MinionSaidHello(hello=hello, origin=Origin(name.encode()), user="t", received_boot_s=self.boot_s)
        self.tell(event)

    def submit(self, run: str, *jobs: JobSpec) -> None:
        self.specs[run] = PipelineSpec(name="p", jobs=jobs)
        self.tell(RunSubmitted(run=run_record(run), spec=self.specs[run]))

    def start(self, name: str, job: str, attempt: int = 1) -> None:
        started = JobStarted(session=1, job=JobId(job), attempt=attempt, pid=7, started_s=WALL_S)
        self.tell(MinionStartedJob(minion=MinionId(f"id-{name}"), started=started))

    def finish(self, name: str, job: str, attempt: int = 1) -> None:
        finished = JobFinished(session=1, job=JobId(job), attempt=attempt, result=Result(status=Status.SUCCEEDED))
        self.tell(MinionFinishedJob(minion=MinionId(f"id-{name}"), finished=finished))

    def beat(self, *names: str) -> None:
        self.seq += 1
        beat = Beat(session=1, seq=self.seq, sent_boot_s=self.boot_s)
        beats = [MinionBeat(minion=MinionId(f"id-{name}"), beat=beat, received_boot_s=self.boot_s) for name in names]
        self.tell(*beats, Ticked(), after_s=1.0)

    def story(self, run: str, job: str = "", **changes) -> Story:
        self.journal.sync()
        entry = self.cluster.book.runs.get(RunId(run))
        record = entry.record if entry is not None else replace(run_record(run), created_s=WALL_S + 101)
        told = Story(replace(record, **changes), [spec.name for spec in self.specs[run].jobs], job)
        for _ in told.read(read(self.folder, record.created_s)):
            pass
        return told


@pytest.fixture
def master(tmp_path: Path):
    master = Master(tmp_path / "journal")
    yield master
    master.journal.close()


def texts(told: Story) -> list[tuple[str, str, str]]:
    return [(line.kind, line.job, line.text) for line in told.lines]


def test_why_it_waited_and_why_that_minion(master):
    master.join("m1")
    master.join("m2", labels=("gpu",))
    master.join("m3")
    master.submit("run-1", JobSpec(name="a"))
    master.tell(MinionSuspended(minion=MinionId("id-m3"), by="ann", why="disk"))
    master.submit("run-2", JobSpec(name="b", labels=("gpu",)), JobSpec(name="c", needs=("b",)))
    master.submit("run-3", JobSpec(name="d", labels=("gpu",)), JobSpec(name="e", labels=("tpu",)))
    for _ in range(5):
        master.beat("m1", "m2", "m3")
    master.start("m2", "run-2-0")
    master.finish("m2", "run-2-0")

    assert texts(master.story("run-1")) == [("chosen", "a", "given to m1: the first in the ring; 1 of 1 slots free")]
    assert texts(master.story("run-2")) == [
        ("chosen", "b", "given to m2: next in the ring after m1; 1 of 1 slots free"),
        ("waits", "c", "waits: needs b (assigned)"),
        ("waits", "c", "waits: m1: 1 of 1 slots busy, m2: 1 of 1 slots busy, m3: suspended by ann (disk)"),
    ]
    told = texts(master.story("run-3"))
    again = "the ring came round to it again; 1 of 1 slots free"
    assert told == [
        ("waits", "d", "waits: m2: 1 of 1 slots busy"),
        ("waits", "e", "waits: no minion with label tpu"),
        ("chosen", "d", f"given to m2: {again}; passed over: m3: no label gpu, m1: no label gpu"),
    ]
    assert texts(master.story("run-3", "d")) == [line for line in told if line[1] == "d"]


def test_what_was_lost_and_who_interfered(master):
    master.join("m1")
    master.submit("run", JobSpec(name="a"), JobSpec(name="b", needs=("a",)))
    master.start("m1", "run-0")
    master.tell(MinionDisconnected(minion=MinionId("id-m1")))
    for _ in range(14):
        master.tell(Ticked(), after_s=1.0)
    master.join("m2")
    master.tell(RunCancelRequested(run=RunId("run"), by="ann"))
    told = texts(master.story("run"))
    assert told == [
        ("chosen", "a", "given to m1: the first in the ring; 1 of 1 slots free"),
        ("waits", "b", "waits: needs a (assigned)"),
        ("doubt", "a", "m1 is suspect, not heard of for 1 s"),
        ("queued", "a", "queued again"),
        ("waits", "a", "waits: m1: lost"),
        ("chosen", "a", "given to m2: next in the ring after m1; 1 of 1 slots free"),
        ("person", "", "run cancel requested by ann"),
    ]
    assert [line.attempt for line in master.story("run").lines] == [1, 0, 1, 1, 0, 2, 0]


def test_it_goes_on_over_segments_and_ends_with_the_run(master, monkeypatch):
    monkeypatch.setattr(writer, "_LEAST_SEGMENT_BYTES", 512)
    monkeypatch.setattr(writer, "_PER_CHECKPOINT", 0)
    master.journal._room = 0
    master.join("m1")
    master.submit("before", JobSpec(name="a"))
    master.submit("run", JobSpec(name="a"))
    for _ in range(30):
        master.beat("m1")
    master.finish("m1", "before-0")
    master.finish("m1", "run-0")
    for _ in range(30):
        master.beat("m1")
    told = master.story("run")
    assert len(segments.numbers(master.folder)) > 3
    assert texts(told) == [
        ("waits", "a", "waits: m1: 1 of 1 slots busy"),
        ("chosen", "a", "given to m1: the ring came round to it again; 1 of 1 slots free"),
    ]


def test_what_the_journal_does_not_have_is_said(master, monkeypatch):
    master.join("m1")
    master.submit("run", JobSpec(name="a"))
    early = master.story("run", created_s=WALL_S - 1000)
    assert early.lines[0].text == "the journal of the time before is not there any more"
    assert early.lines[0].kind == "note"

    empty = Story(run_record("run"), ["a"])
    assert list(empty.read([])) == []
    assert [line.text for line in empty.lines] == ["there is no journal of that time"]

    file = segments.path_of(master.folder, 1)
    header, *rest = segments.frames(file)
    other = replace(segments.header_of(header, file), core="0" * 16, version="0.0.1")
    file.write_bytes(b"".join(map(segments.frame, [msgspec.msgpack.encode(other), *rest])))
    assert [line.text for line in master.story("run").lines] == ["from here the journal is of another version (0.0.1)"]
    whole = b"".join(map(segments.frame, [header, *rest]))
    file.write_bytes(whole[:-3] + bytes(b ^ 1 for b in whole[-3:]))
    assert master.story("run").lines[-1].text.startswith("the journal is damaged: 00000001.inputs: damaged at byte ")
    gap = replace(segments.header_of(header, file), kind="gap", gap="7 batches were not written: no room")
    file.write_bytes(b"".join(map(segments.frame, [msgspec.msgpack.encode(gap), *rest])))
    told = master.story("run", created_s=WALL_S + 1)
    assert "until here the journal has a gap: 7 batches were not written: no room" in [line.text for line in told.lines]

    file.write_bytes(whole)
    monkeypatch.setattr(story, "MAX_LINES", 0)
    assert master.story("run").cut_off


def test_a_run_of_thousands_of_jobs_is_looked_at_once_a_second(master):
    master.join("m1", slots=3)
    jobs = [JobSpec(name=f"j{index}") for index in range(story.MANY_JOBS + 1)]
    master.submit("run", *jobs)
    master.finish("m1", "run-0")
    assert len([line for line in master.story("run").lines if line.kind == "chosen"]) == 4


def test_what_the_records_say_is_told_in_order():
    attempt = AttemptRecord(
        job=JobId("run-0"),
        attempt=1,
        minion=MinionId("id-m1"),
        minion_name="m1",
        session=1,
        assigned_s=2.0,
        started_s=3.0,
        finished_s=9.0,
        pid=7,
        result=Result(status=Status.TIMED_OUT, message="it ran longer than 5 s", run_s=5.0),
    )
    failed = JobRecord(
        id=JobId("run-0"),
        run=RunId("run"),
        index=0,
        name="a",
        state=JobState.TIMED_OUT,
        message="it ran longer than 5 s",
        finished_s=9.0,
    )
    skipped = replace(failed, id=JobId("run-1"), index=1, name="b", state=JobState.SKIPPED, message="it needs a")
    run = replace(run_record("run"), created_s=1.0, finished_s=9.0, state=RunState.FAILED, params={"x": "1"})
    answer = RunAnswer(run=run, jobs=(JobView(job=failed, attempts=(attempt,)), JobView(job=skipped)))
    assert [(line.at_s, line.job, line.text) for line in of_records(answer)] == [
        (1.0, "", "created by ada (manual), commit cccccccccc, with x=1"),
        (3.0, "a", "attempt 1 on m1 runs (pid 7)"),
        (9.0, "a", "attempt 1 on m1 was timed out after 5.00 s: it ran longer than 5 s"),
        (9.0, "b", "skipped: it needs a"),
        (9.0, "", "the run has ended: failed"),
    ]
    assert [line.job for line in of_records(answer, "b")] == ["", "b", ""]
    cancelled = replace(run, state=RunState.CANCELLED, cancel_by="ann")
    assert of_records(RunAnswer(run=cancelled))[-1].text == "the run has ended: cancelled by ann"


def test_a_story_goes_on_where_the_connection_broke():
    lines = tuple(StoryLine(at_s=float(index), text=str(index), kind="note") for index in range(5))
    position = position_of(ExplainRun(run="run"))
    assert position.accept(StoryLines(lines=lines[:3])) == StoryLines(lines=lines[:3])
    assert position.rest() == ExplainRun(run="run")
    assert position.accept(StoryLines(lines=lines[:2])) == StoryLines()
    assert position.accept(StoryLines(lines=lines[2:4])) == StoryLines(lines=lines[3:4])
    assert not position.whole
    assert position.accept(StoryLines(lines=lines[4:], last=True)) == StoryLines(lines=lines[4:], last=True)
    assert position.whole
