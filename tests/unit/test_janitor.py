"""The janitor: what goes by rule goes whole and with its reason, in small commits; what must stay stays."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from actors_support import Deaths, run_record
from cicd.actors.desk.streams import LogStream
from cicd.actors.file_keeper import FileKeeper
from cicd.actors.janitor import DiskLook, Janitor
from cicd.actors.log_files import LogFiles
from cicd.actors.run_keeper import STEP_RECORDS, RunKeeper
from cicd.actors.store import Store, StoreClient
from cicd.config.master import Retention
from cicd.core.retention import DAY_S, RunRules
from cicd.messages.base import Digest, MinionId, PipelineId, RunId, job_id
from cicd.messages.client import LogEndInfo
from cicd.messages.pipeline import BuildState, LastRun, PipelineRecord, Source
from cicd.messages.run import AttemptRecord, JobRecord, JobState, LogRecord, Result, RunState, Status
from cicd.storage import keys, records, tombstones
from cicd.storage.base import StoreFullError, prefix_end
from cicd.storage.memory import MemoryStorage
from cicd.storage.records import Records
from cicd.storage.room import Room
from cicd.testing.fake_clock import FakeClock
from cicd.testing.waiting import wait_until

P = PipelineId("pipeline")
MINION = MinionId("m")


class Commits:
    """A store that commits at once, and counts."""

    def __init__(self, storage: MemoryStorage) -> None:
        self.storage = storage
        self.sizes: list[int] = []
        self.fails_at = -1

    def commit(self, writes, preconditions=()) -> None:
        if len(self.sizes) == self.fails_at:
            raise StoreFullError("full")
        self.sizes.append(len(writes))
        self.storage.commit(preconditions, writes)


class Place:
    """A store with some history and its log files."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.storage = MemoryStorage()
        self.commits = Commits(self.storage)
        self.logs = LogFiles(folder / "logs")

    def write(self, writes, preconditions=()) -> None:
        """Write what the test says; replaced where an actor is the one that writes."""
        self.storage.commit(preconditions, writes)

    def add(self, number: int, days: float, state: RunState = RunState.SUCCEEDED, jobs: int = 1) -> RunId:
        """Add a run that began and ended so many days ago."""
        at = self.clock.wall_s() - days * DAY_S
        run = RunId(f"01run{number:04d}")
        record = replace(
            run_record(run), number=number, state=state, created_s=at, finished_s=at, request=f"q{number}",
            job_count=jobs,
        )  # fmt: skip
        writes = records.save_run(record) + records.save_request(record.request, run)
        for index in range(jobs):
            job = job_id(run, index)
            done = Result(status=Status.SUCCEEDED, log_bytes=2, log_sha256="s", log_lines=1)
            writes += records.save_job(
                JobRecord(id=job, run=run, index=index, name="a", state=JobState.SUCCEEDED, attempt=1)
            )
            writes += records.save_attempt(
                AttemptRecord(job=job, attempt=1, minion=MINION, minion_name="m", session=1, result=done)
            )
            writes += records.save_log(LogRecord(job=job, attempt=1, size_bytes=2, lines=1, sha256="s"))
        last = LastRun(run=run, number=number, by="ada", created_s=at)
        self.write([*writes, *records.save_last_run(P, last)])
        path = self.logs.path(job_id(run, 0), 1)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x\n")
        return run

    def pipeline(self, **fields) -> PipelineRecord:
        pipeline = PipelineRecord(
            id=P, name="p", source=Source(repository="/r"), build_state=BuildState.READY, **fields
        )
        preconditions, writes = records.create_pipeline(pipeline)
        self.write(writes, preconditions)
        return pipeline

    def keep(self, protected=(), **rules) -> None:
        keeper = RunKeeper(
            self.storage, self.commits, self.clock, logs=self.folder / "logs", rules=RunRules(**rules),
            protected=lambda: set(protected),
        )  # fmt: skip
        for _ in keeper.steps():
            pass

    def runs(self) -> list[int]:
        return sorted(run.number for run in Records(self.storage).latest_runs(None, 100))

    def keys_of(self, run: RunId) -> list[bytes]:
        everything = self.storage.range(b"\0", b"\xff")
        return [key for key, value in everything if (run in key.decode() or value == run.encode()) and key[:2] != b"x/"]

    def deletions(self) -> list[tuple[str, str, str]]:
        with self.storage.snapshot() as view:
            return [(one.kind, one.name, one.reason) for one in tombstones.deletions(view, 100)]


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.logs.close()
    made.storage.close()


def test_the_newest_runs_of_a_pipeline_stay_and_active_ones(place):
    place.pipeline()
    for number in range(1, 8):
        place.add(number, days=0, state=RunState.RUNNING if number == 2 else RunState.FAILED)
    place.keep(runs_keep=3)
    assert place.runs() == [2, 5, 6, 7]
    assert place.deletions()[0] == ("run", "p#4", "older than the newest 3 runs of p")
    assert not (place.folder / "logs" / "01run0001").exists()
    assert (place.folder / "logs" / "01run0002").exists()


def test_a_run_goes_whole_and_in_small_commits(place):
    gone = place.add(1, days=10, jobs=3 * STEP_RECORDS)
    kept = place.add(2, days=10)
    before = len(place.keys_of(kept))
    place.commits.sizes.clear()
    place.keep(runs_age_s=5 * DAY_S)
    assert place.runs() == [2]  # the newest
    assert place.keys_of(gone) == []
    assert len(place.keys_of(kept)) == before
    assert max(place.commits.sizes) <= STEP_RECORDS
    assert Records(place.storage).run_of_request("q1") is None
    assert place.deletions() == [("run", "p#1", "ended 10 days ago; 5 days are kept")]


@pytest.mark.parametrize("crash", range(1, 8))
def test_a_run_whose_deletion_was_cut_short_goes_all_the_same(place, crash):
    gone = place.add(1, days=10, jobs=STEP_RECORDS + 1)
    place.add(2, days=10)
    place.commits.fails_at = crash
    with pytest.raises(StoreFullError):
        place.keep(runs_age_s=5 * DAY_S)
    assert place.runs() == [2]
    place.commits.fails_at = -1
    place.keep(runs_age_s=5 * DAY_S)
    assert place.keys_of(gone) == []
    assert len(place.deletions()) == 1


def test_what_an_active_run_refers_to_stays(place):
    place.add(1, days=10)
    place.add(2, days=10)
    place.keep(protected=("01run0001",), runs_age_s=5 * DAY_S)
    assert place.runs() == [1, 2]


def test_logs_go_before_their_runs_and_say_so(place):
    old = place.add(1, days=10)
    place.add(2, days=1)
    place.keep(logs_age_s=5 * DAY_S)
    assert place.runs() == [1, 2]
    assert not (place.folder / "logs" / old).exists()
    assert (place.folder / "logs" / "01run0002").exists()
    stream = LogStream(place.storage, place.logs, place.clock, job=job_id(old, 0), attempt=1, offset=0, follow=False)
    end = stream.next()
    assert isinstance(end, LogEndInfo)
    assert end.gap.startswith("removed on 20")
    assert end.gap.endswith("its run ended 10 days ago; logs are kept for 5 days")


def test_the_walk_for_logs_goes_on_where_it_was_and_comes_back_to_what_it_passed(place):
    running = place.add(1, days=10, state=RunState.RUNNING)
    place.add(2, days=10)
    place.keep(logs_age_s=5 * DAY_S)
    assert (place.folder / "logs" / running).exists()
    assert [name for _, name, _ in place.deletions()] == ["p#2"]
    commits = len(place.commits.sizes)
    place.keep(logs_age_s=5 * DAY_S)
    assert len(place.commits.sizes) == commits  # nothing is walked again
    record = Records(place.storage).run(running)
    place.storage.commit([], records.save_run(replace(record, state=RunState.FAILED)))
    place.keep(logs_age_s=5 * DAY_S)
    assert not (place.folder / "logs" / running).exists()
    assert place.storage.range(keys.PASSED_RUNS, prefix_end(keys.PASSED_RUNS)) == []


# ---- files ---------------------------------------------------------------------------------------------


A, B, C = (letter * 64 for letter in "abc")


def files_of(place: Place, **rules) -> list[str]:
    notes: list[str] = []
    limits = {"plugins_age_s": 5 * DAY_S, "mirrors_age_s": 5 * DAY_S, "builds_keep": 2} | rules
    keeper = FileKeeper(
        place.storage, place.clock, place.folder, note=lambda one: notes.append(f"{one.kind} {one.name}"), **limits
    )
    for _ in keeper.steps():
        pass
    return notes


def put(place: Place, name: str, days: float) -> None:
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        path.write_bytes(b"tar")
    else:
        path.mkdir()
        (path / "plugin.tar").write_bytes(b"tar")
    at = place.clock.wall_s() - days * DAY_S
    os.utime(path, (at, at))


def test_what_is_in_service_or_pinned_stays_and_what_nothing_uses_goes(place):
    place.pipeline(plugin=Digest(A), source_digest=Digest(A))
    for name in (f"plugins/{A}", f"plugins/{B}", f"plugins/{'d' * 64}", f"sources/{A}.tar", f"sources/{B}.tar"):
        put(place, name, days=9)
    put(place, f"plugins/{C}", days=1)
    place.add(1, days=0, state=RunState.RUNNING)  # pinned to plugin d, source e
    assert files_of(place) == [f"plugin {B[:12]}", f"source {B[:12]}"]
    assert sorted(path.name[0] for path in (place.folder / "plugins").iterdir()) == ["a", "c", "d"]
    place.clock.advance(4.5 * DAY_S)
    assert files_of(place) == [f"plugin {C[:12]}"]  # a was in use at the first look, less than five days ago


def test_nothing_goes_while_something_is_built(place):
    pipeline = place.pipeline()
    place.storage.commit([], records.save_pipeline(replace(pipeline, build_state=BuildState.BUILDING)))
    put(place, f"plugins/{B}", days=9)
    assert files_of(place) == []
    place.storage.commit([], records.save_pipeline(pipeline))
    assert files_of(place) == [f"plugin {B[:12]}"]


def test_old_build_logs_go_and_those_of_pipelines_that_are_gone(place):
    place.pipeline()
    for number in (1, 2, 9, 10):
        put(place, f"builds/{P}/{number}.log", days=0)
    put(place, "builds/other/1.log", days=0)
    assert sorted(files_of(place)) == ["build log other/1", f"build log {P}/1", f"build log {P}/2"]
    assert sorted(path.name for path in (place.folder / "builds").iterdir()) == [P]
    assert files_of(place, builds_keep=0) == []


def test_mirrors_that_no_pipeline_uses_go_unless_a_build_holds_them(place):
    put(place, f"repositories/{B}", days=9)
    assert files_of(place) == [f"mirror {B[:12]}"]
    assert [path.name for path in (place.folder / "repositories").iterdir()] == [f"{B}.lock"]


# ---- the actor -----------------------------------------------------------------------------------------


def test_the_janitor_goes_round_and_looks_at_the_disk(place):
    deaths = Deaths()
    store = Store.start(place.storage, deaths)
    place.write = StoreClient(store).commit
    place.pipeline()
    for number in range(1, 6):
        place.add(number, days=0)
    look = DiskLook(place.folder, Room(place.folder, 0), place.clock)
    janitor = Janitor.start(
        storage=place.storage,
        store=StoreClient(store),
        clock=place.clock,
        data_dir=place.folder,
        rules=Retention(runs_keep=2),
        look=look,
        die=deaths,
    )
    try:
        wait_until(lambda: place.runs() == [4, 5], 20, "the oldest runs to go")
        wait_until(lambda: look.now.measured_s, 20, "a look at the disk")
    finally:
        janitor.stop()
        store.stop()
    assert look.now.logs_bytes > 0
    assert look.now.total_bytes > look.now.free_bytes > 0
    assert not deaths.seen


def test_what_came_into_use_while_a_round_went_on_stays(place):
    """A retried run needs an old plugin again: it is looked at once more before anything goes."""
    place.pipeline(plugin=Digest(A), source_digest=Digest(A))
    for name in (A, B, "d" * 64):
        put(place, f"plugins/{name}", days=9)
    notes: list[str] = []
    keeper = FileKeeper(
        place.storage,
        place.clock,
        place.folder,
        plugins_age_s=5 * DAY_S,
        mirrors_age_s=0,
        builds_keep=0,
        note=lambda one: notes.append(one.name),
    )
    steps = keeper.steps()
    for _ in range(2):
        next(steps)  # what is used has been listed, and the first has been looked at
    place.storage.commit(
        [], records.save_run(replace(run_record(RunId("01run9")), plugin=Digest(B), state=RunState.QUEUED))
    )
    for _ in steps:
        pass
    assert notes == ["d" * 12]
    assert (place.folder / "plugins" / B).exists()
