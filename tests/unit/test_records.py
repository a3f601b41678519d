"""Records, their indexes and their keys, over a store in memory."""

from collections.abc import Callable, Iterable

import msgspec
import pytest

from cicd.codec import CorruptRecordError
from cicd.messages.base import Digest, JobId, MinionId, PipelineId, RunId, job_id
from cicd.messages.cluster import MinionRecord, RemovedKey, TokenRecord
from cicd.messages.pipeline import BuildState, LastRun, PipelineRecord, PipelineSpec, PluginRecord, Source
from cicd.messages.run import (
    AttemptRecord,
    JobRecord,
    JobState,
    LogRecord,
    Result,
    RunRecord,
    RunState,
    Status,
    Trigger,
)
from cicd.storage import keys, records
from cicd.storage.base import PreconditionFailedError, Snapshot, Write
from cicd.storage.memory import MemoryStorage
from cicd.storage.records import Records

DIGEST = Digest("d" * 64)
ODD = ["", "/", "a/b", "%2F", "ä" * 100, "😀" * 100, "x" * 5000, "a\0b", "\ud800", "..", "run-1"]
"""Names and ids that people and peers may send."""


def pipeline(name: str, state: BuildState = BuildState.READY, id_: str = "") -> PipelineRecord:
    return PipelineRecord(
        id=PipelineId(id_ or f"id-{name}"), name=name, source=Source(repository="https://x/y"), build_state=state
    )


def run(number: int, state: RunState = RunState.QUEUED, pipeline_id: str = "p1") -> RunRecord:
    return RunRecord(
        id=RunId(f"run{number:06d}{pipeline_id}"),
        pipeline=PipelineId(pipeline_id),
        pipeline_name="build",
        number=number,
        plugin=DIGEST,
        source_digest=DIGEST,
        commit="c" * 40,
        trigger=Trigger(by="operator"),
        job_count=1,
        state=state,
    )


def job(index: int, state: JobState = JobState.WAITING, run_id: str = "r1") -> JobRecord:
    id_ = RunId(run_id)
    return JobRecord(id=job_id(id_, index), run=id_, index=index, name=f"job{index:06d}", state=state)


def attempt(job_: JobId, number: int) -> AttemptRecord:
    return AttemptRecord(job=job_, attempt=number, minion=MinionId("m1"), minion_name="one", session=1)


def minion(name: str, ring: int, id_: str = "") -> MinionRecord:
    return MinionRecord(id=MinionId(id_ or f"id-{name}"), name=name, ring=ring)


class Counting:
    """A view that counts the rows it gave."""

    def __init__(self, view: Snapshot) -> None:
        self.view = view
        self.rows = 0

    def get(self, key: bytes) -> bytes | None:
        self.rows += 1
        return self.view.get(key)

    def range(
        self, start: bytes, end: bytes, *, limit: int | None = None, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        found = self.view.range(start, end, limit=limit, reverse=reverse)
        self.rows += len(found)
        return found


@pytest.fixture
def store() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def read(store: MemoryStorage) -> Records:
    return Records(store)


def save(store: MemoryStorage, writes: Iterable[list[Write]]) -> None:
    store.commit([], [write for part in writes for write in part])


def create(store: MemoryStorage, record: PipelineRecord) -> None:
    store.commit(*records.create_pipeline(record))


# ---- pipelines -----------------------------------------------------------------------------------------


def test_a_pipeline_is_found_by_name_and_by_id(store: MemoryStorage, read: Records) -> None:
    create(store, pipeline("build"))
    assert read.pipeline("build") == pipeline("build") == read.pipeline_by_id(PipelineId("id-build"))
    assert read.pipeline("id-build") is None
    changed = msgspec.structs.replace(pipeline("build"), description="new")
    save(store, [records.save_pipeline(changed)])
    assert read.pipeline("build") == changed


def test_a_name_or_an_id_is_taken_once(store: MemoryStorage, read: Records) -> None:
    create(store, pipeline("build"))
    for second in (pipeline("build", id_="other"), pipeline("other", id_="id-build")):
        with pytest.raises(PreconditionFailedError):
            create(store, second)
    assert read.pipelines("", 9) == [pipeline("build")]


def test_a_deleted_pipeline_leaves_nothing_but_its_runs(store: MemoryStorage, read: Records) -> None:
    before = store.range(b"", b"\xff")
    record = pipeline("build", BuildState.BUILDING)
    create(store, record)
    save(store, [records.save_last_run(record.id, LastRun(run=RunId("r"), number=1, by="operator", created_s=1.0))])
    save(store, [records.delete_pipeline(record)])
    assert store.range(b"", b"\xff") == before
    create(store, pipeline("build", id_="second"))
    assert read.last_run(PipelineId("second")) is None


def test_pipelines_are_listed_by_name_in_pages(store: MemoryStorage, read: Records) -> None:
    names = sorted(["b", "a", "a/b", "a b", "ab", "ä", "a%"])
    for name in reversed(names):
        create(store, pipeline(name, id_=f"id{names.index(name)}"))
    seen: list[str] = []
    while page := read.pipelines(seen[-1] if seen else "", 2):
        assert len(page) <= 2
        seen += [one.name for one in page]
    assert seen == names
    assert [one.name for one in read.pipelines("aa", 1)] == ["ab"]


def test_building_pipelines_are_those_whose_build_has_not_ended(store: MemoryStorage, read: Records) -> None:
    create(store, pipeline("a"))
    create(store, pipeline("b", BuildState.BUILDING))
    assert [one.name for one in read.building()] == ["b"]
    save(store, [records.save_pipeline(pipeline("a", BuildState.BUILDING))])
    save(store, [records.save_pipeline(pipeline("b", BuildState.FAILED))])
    assert [one.name for one in read.building()] == ["a"]


def test_plugins_and_last_runs_are_found(store: MemoryStorage, read: Records) -> None:
    plugin = PluginRecord(
        digest=DIGEST,
        size_bytes=1,
        source_digest=DIGEST,
        source_size_bytes=2,
        commit="c" * 40,
        language="python",
        spec=PipelineSpec(name="build"),
    )
    last = LastRun(run=RunId("r1"), number=3, by="operator", created_s=1.5)
    save(store, [records.save_plugin(plugin), records.save_last_run(PipelineId("p1"), last)])
    assert read.plugin(DIGEST) == plugin
    assert read.plugin(Digest("e" * 64)) is None
    assert read.last_run(PipelineId("p1")) == last


# ---- runs ----------------------------------------------------------------------------------------------


def test_a_run_is_found_by_id_by_number_and_by_request(store: MemoryStorage, read: Records) -> None:
    record = run(7)
    save(store, [records.save_run(record), records.save_request("ask", record.id), records.save_request("", record.id)])
    assert read.run(record.id) == record == read.run_by_number(record.pipeline, 7)
    assert read.run_of_request("ask") == record.id
    assert read.run_of_request("") is None
    assert read.run_by_number(record.pipeline, 8) is None
    assert read.run_by_number(PipelineId("p2"), 7) is None


@pytest.mark.parametrize("state", RunState)
def test_a_run_is_active_until_it_has_ended(store: MemoryStorage, read: Records, state: RunState) -> None:
    save(store, [records.save_run(run(1))])
    assert read.active_runs() == [run(1)]
    save(store, [records.save_run(run(1, state))])
    assert read.active_runs() == ([run(1, state)] if state in {RunState.QUEUED, RunState.RUNNING} else [])
    assert read.run(run(1).id) == run(1, state)


def test_latest_runs_come_newest_first_in_pages(store: MemoryStorage, read: Records) -> None:
    save(store, (records.save_run(run(n)) for n in range(1, 8)))
    first = read.latest_runs(None, 3)
    assert [one.number for one in first] == [7, 6, 5]
    assert [one.number for one in read.latest_runs(first[-1].id, 3)] == [4, 3, 2]
    assert [one.number for one in read.latest_runs(run(2).id, 3)] == [1]
    assert read.latest_runs(run(1).id, 3) == []


def test_runs_of_a_pipeline_come_newest_first_in_pages(store: MemoryStorage, read: Records) -> None:
    for owner in ("p", "p/", "p0"):
        save(store, (records.save_run(run(n, pipeline_id=owner)) for n in (1, 2, 9, 10, 11)))
    for owner in ("p", "p/", "p0"):
        id_ = PipelineId(owner)
        assert [one.number for one in read.pipeline_runs(id_, None, 2)] == [11, 10]
        assert [one.number for one in read.pipeline_runs(id_, 10, 9)] == [9, 2, 1]
        assert {one.pipeline for one in read.pipeline_runs(id_, None, 99)} == {owner}
        assert [one.number for one in read.pipeline_runs(id_, 10**30, 1)] == [11]
        assert read.pipeline_runs(id_, -1, 9) == read.pipeline_runs(id_, 0, 9) == []


def test_no_listing_reads_more_than_it_returns(store: MemoryStorage) -> None:
    """With an index, each row costs at most two reads: of the index and of the record. History does not count."""
    save(store, (records.save_run(run(n, RunState.SUCCEEDED)) for n in range(1, 500)))
    save(store, (records.save_run(run(n, RunState.SUCCEEDED, "p2")) for n in range(1, 500)))
    save(store, (records.save_job(job(n, JobState.SUCCEEDED)) for n in range(500)))
    save(store, (records.save_attempt(attempt(job_id(RunId("r1"), n), 1)) for n in range(500)))
    save(store, [records.save_run(run(500)), records.save_job(job(3, JobState.QUEUED))])
    view = Counting(store)
    read = Records(view)
    for rows, found in (
        (1, lambda: [read.run(run(7).id)]),
        (2, lambda: [read.run_by_number(PipelineId("p1"), 7)]),
        (2, read.active_runs),
        (1, read.queued),
        (3, lambda: read.latest_runs(None, 3)),
        (6, lambda: read.pipeline_runs(PipelineId("p1"), 400, 3)),
        (3, lambda: read.jobs(RunId("r1"), 250, 3)),
        (1, lambda: read.attempts(job_id(RunId("r1"), 250))),
    ):
        view.rows = 0
        assert found()
        assert view.rows == rows


# ---- jobs ----------------------------------------------------------------------------------------------


def test_jobs_come_by_index_in_pages(store: MemoryStorage, read: Records) -> None:
    save(store, (records.save_job(job(n)) for n in (0, 1, 2, 9, 10, 11, 100)))
    save(store, [records.save_job(job(0, run_id="r0")), records.save_job(job(0, run_id="r10"))])
    id_ = RunId("r1")
    assert [one.index for one in read.jobs(id_, -1, 3)] == [0, 1, 2]
    assert [one.index for one in read.jobs(id_, 2, 9)] == [9, 10, 11, 100]
    assert [one.index for one in read.jobs(id_, -99, 1)] == [0]
    assert read.jobs(id_, 100, 9) == read.jobs(id_, 10**30, 9) == read.jobs(id_, 999_999, 9) == []
    assert read.job(id_, 10) == job(10)
    assert read.job(id_, 3) is read.job(id_, -1) is read.job(id_, 10**6) is None


@pytest.mark.parametrize("state", JobState)
def test_a_job_is_pending_while_it_is_queued(store: MemoryStorage, read: Records, state: JobState) -> None:
    save(store, [records.save_job(job(1, state))])
    assert read.queued() == ([job(1).id] if state is JobState.QUEUED else [])
    save(store, [records.save_job(job(1, JobState.QUEUED)), records.save_job(job(0, JobState.QUEUED))])
    assert read.queued() == [job(0).id, job(1).id]
    assert read.queued(1) == [job(0).id]
    save(store, [records.save_job(job(1, state))])
    assert (job(1).id in read.queued()) is (state is JobState.QUEUED)


def test_attempts_and_logs_belong_to_their_job(store: MemoryStorage, read: Records) -> None:
    one, ten = job_id(RunId("r1"), 1), job_id(RunId("r1"), 10)
    save(store, (records.save_attempt(attempt(id_, n)) for id_ in (one, ten) for n in (10, 2, 1)))
    log = LogRecord(job=one, attempt=2, size_bytes=5, lines=1, sha256="x")
    save(store, [records.save_log(log)])
    assert read.attempts(one) == [attempt(one, n) for n in (1, 2, 10)]
    assert read.attempt(ten, 2) == attempt(ten, 2)
    assert read.attempt(ten, 3) is read.attempt(ten, -1) is read.attempt(ten, 10**9) is None
    assert read.log(one, 2) == log
    assert read.log(one, 1) is read.log(ten, 2) is None


@pytest.mark.parametrize("id_", ["", "r1", "r1-", "-1", "r1-x", "r1--1", "r1-9999999", "r1-²", "r1-" + "9" * 5000])
def test_what_is_no_job_id_finds_nothing(read: Records, id_: str) -> None:
    assert read.attempts(JobId(id_)) == []
    assert read.attempt(JobId(id_), 1) is None
    assert read.log(JobId(id_), 1) is None


def transition_bytes(jobs: int) -> int:
    """Count the bytes that the last job of a run writes on its way from ready to done."""
    run_id = RunId("01j" + "0" * 23)
    first = job(jobs - 1, JobState.QUEUED, run_id)
    tried = attempt(first.id, 1)
    done = msgspec.structs.replace(tried, result=Result(status=Status.SUCCEEDED, outputs={"wheel": "a.whl"}))
    steps = [
        records.save_job(first),
        records.save_job(msgspec.structs.replace(first, state=JobState.ASSIGNED, attempt=1)),
        records.save_attempt(tried),
        records.save_job(msgspec.structs.replace(first, state=JobState.RUNNING, attempt=1)),
        records.save_attempt(done),
        records.save_job(msgspec.structs.replace(first, state=JobState.SUCCEEDED, outputs={"wheel": "a.whl"})),
    ]
    return sum(len(write.key) + len(write.value or b"") for step in steps for write in step)


def test_a_transition_writes_as_much_in_a_small_run_as_in_a_large_one() -> None:
    assert transition_bytes(10_000) == pytest.approx(transition_bytes(100), rel=0.05)


# ---- the cluster ---------------------------------------------------------------------------------------


def test_minions_come_by_their_places_in_the_ring(store: MemoryStorage, read: Records) -> None:
    save(store, [records.save_minion(minion(name, ring)) for name, ring in (("a", 2), ("b", 0), ("c", 1))])
    assert [one.name for one in read.minions()] == ["b", "c", "a"]
    assert read.minion(MinionId("id-a")) == minion("a", 2) == read.minion_by_name("a")


def test_a_minion_that_changes_its_name_frees_the_old_one(store: MemoryStorage, read: Records) -> None:
    old, new = minion("old", 0, "m1"), minion("new", 0, "m1")
    save(store, [records.save_minion(old)])
    save(store, [records.save_minion(new, before=old)])
    assert read.minion_by_name("new") == new == read.minion(new.id)
    assert read.minion_by_name("old") is None
    save(store, [records.save_minion(new, before=new)])
    assert read.minion_by_name("new") == new


def test_tokens_are_found_and_listed(store: MemoryStorage, read: Records) -> None:
    tokens = [TokenRecord(id=f"t{n}", client_public="k", created_s=1.0) for n in range(3)]
    save(store, map(records.save_token, reversed(tokens)))
    assert read.tokens() == tokens
    assert read.token("t1") == tokens[1]
    assert read.token("t9") is None


def test_keys_of_removed_minions_are_listed(store: MemoryStorage, read: Records) -> None:
    removed = [RemovedKey(key=key * 40, minion=MinionId("m"), name="n") for key in "/%"]
    save(store, map(records.save_removed_key, removed))
    assert sorted(read.removed_keys(), key=lambda each: each.key, reverse=True) == removed


# ---- odd and damaged -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ODD)
def test_odd_names_and_ids_find_nothing_and_break_nothing(read: Records, text: str) -> None:
    found: list[object] = [
        read.pipeline(text),
        read.pipeline_by_id(PipelineId(text)),
        read.last_run(PipelineId(text)),
        read.plugin(Digest(text)),
        read.run(RunId(text)),
        read.run_by_number(PipelineId(text), 1),
        read.run_of_request(text),
        read.job(RunId(text), 0),
        read.minion(MinionId(text)),
        read.minion_by_name(text),
        read.token(text),
    ]
    assert found == [None] * len(found)
    listed: list[object] = [
        *read.pipelines(text, 1),
        *read.latest_runs(RunId(text), 1),
        *read.pipeline_runs(PipelineId(text), None, 1),
        *read.jobs(RunId(text), -1, 1),
    ]
    assert not listed


def test_odd_names_are_kept_apart(store: MemoryStorage, read: Records) -> None:
    odd = [text for text in ODD if text and len(text) <= 100 and text != "\ud800"]
    for text in odd:
        create(store, pipeline(text))
    for text in odd:
        assert read.pipeline(text) == pipeline(text)
    assert len(read.pipelines("", 99)) == len(odd)


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x80", b"garbage", b"\x81\xa2id\x01"])
def test_a_damaged_record_is_named(store: MemoryStorage, read: Records, damage: bytes) -> None:
    store.commit([], [Write(keys.run(RunId("r1")), damage)])
    with pytest.raises(CorruptRecordError, match=r"b'r/r1'.*RunRecord"):
        read.run(RunId("r1"))
    with pytest.raises(CorruptRecordError):
        read.latest_runs(None, 1)


def test_an_index_without_its_record_is_damage(store: MemoryStorage, read: Records) -> None:
    store.commit([], [Write(keys.active_run(RunId("r1")), b"r1")])
    with pytest.raises(CorruptRecordError, match="b'r/r1', which is not there"):
        read.active_runs()


@pytest.mark.parametrize("writes", [lambda: records.save_job(job(10**6)), lambda: records.save_run(run(10**10))])
def test_numbers_that_do_not_fit_are_refused_when_written(writes: Callable[[], list[Write]]) -> None:
    with pytest.raises(keys.OutOfRangeError):
        writes()
