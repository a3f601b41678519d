"""Courier and Archive over a cable: logs arrive whole and in order, blobs checked, whatever gets lost."""

from __future__ import annotations

import hashlib
import random  # noqa: TID251  seeded: the same in every run
import zlib
from collections import Counter
from pathlib import Path

import pykka
import pytest

from actors_support import Deaths, RecordingListener, run_record
from cable import Cable
from cicd.actors.archive import Archive, blob_path
from cicd.actors.base import Inbox
from cicd.actors.blob_cache import BlobCache
from cicd.actors.courier import STUCK_S, Courier
from cicd.actors.log_files import LogFile, LogFiles
from cicd.actors.store import Store, StoreClient
from cicd.clock import SystemClock
from cicd.codec import Codec
from cicd.messages.base import Digest, MinionId, RunId, job_id
from cicd.messages.bulk import CHUNK_BYTES, TO_MINION, BlobKind, BulkHello
from cicd.messages.cluster import MinionRecord
from cicd.messages.jobhost import LogClosed, LogGrew, LogStored
from cicd.messages.minion import RunJob
from cicd.messages.run import AttemptRecord, JobRecord, JobState, Result, Status
from cicd.plugins.artifact import pack
from cicd.storage import records
from cicd.storage.memory import MemoryStorage
from cicd.storage.records import Records
from cicd.testing.waiting import wait_until
from cicd.transport.base import Delivery, PeerId

RUN = RunId("01run")
JOB = job_id(RUN, 0)
ME = MinionId("id-m")
CLOCK = SystemClock()


class Bulk:
    """A Courier and an Archive with a cable between them."""

    def __init__(self, folder: Path, loses=lambda _d, _n: False) -> None:
        self.folder = folder
        self.deaths = Deaths()
        self.storage = MemoryStorage()
        attempt = AttemptRecord(job=JOB, attempt=2, minion=ME, minion_name="m", session=1)
        job = JobRecord(id=JOB, run=RUN, index=0, name="a", state=JobState.RUNNING, attempt=2, minion=ME)
        self.store = Store.start(self.storage, self.deaths)
        StoreClient(self.store).commit(
            [
                *records.save_minion(MinionRecord(id=ME, name="m", ring=0, session=1)),
                *records.save_run(run_record(RUN)),
                *records.save_job(job),
                *records.save_attempt(attempt),
                *records.save_attempt(AttemptRecord(job=JOB, attempt=1, minion=ME, minion_name="m", session=1)),
            ],
        )
        self.up: Inbox[object] = Inbox()
        self.down: Inbox[object] = Inbox()
        self.cable = Cable(self.up, self.down, loses)
        self.news: list[object] = []
        self.told: list[object] = []
        self.fetched: list[object] = []
        self.master = folder / "master"
        self.start_archive()
        self.courier = Courier.start(
            inbox=self.down,
            dialer=self.cable.dialer,
            cache=BlobCache(folder / "cache", lambda news: self.down.put([news]), SystemClock()),
            minion=ME,
            tell_host=lambda *messages: self.told.extend(messages),
            on_fetched=self.fetched.append,
            clock=SystemClock(),
            die=self.deaths,
        )
        self.down.put([1])

    def start_archive(self) -> None:
        self.logs = LogFiles(self.master / "logs")
        self.archive = Archive.start(
            inbox=self.up,
            listener=self.cable.listener,
            storage=self.storage,
            store=StoreClient(self.store),
            logs=self.logs,
            data_dir=self.master,
            on_log=self.news.extend,
            die=self.deaths,
        )

    def stored(self) -> list[object]:
        return [message for message in self.told if isinstance(message, LogStored)]


@pytest.fixture
def bulk(tmp_path):
    made = []

    def make(**options):
        made.append(Bulk(tmp_path, **options))
        return made[-1]

    yield make
    pykka.ActorRegistry.stop_all(timeout=10)
    for one in made:
        assert not one.deaths.seen
        one.storage.close()


def lossy(seed: int, share: float):
    """Return a loss that is the same in every run, and in step with nothing."""
    dice = random.Random(seed)  # noqa: S311  no secret
    return lambda _direction, _number: dice.random() < share


def spool(folder: Path, data: bytes) -> LogClosed:
    path = folder / "spool.log"
    path.write_bytes(data)
    sha = hashlib.sha256(data).hexdigest()
    lines = data.count(b"\n")
    return LogClosed(job=JOB, attempt=2, path=str(path), size_bytes=len(data), lines=lines, sha256=sha)


TEXT = b"".join(b"line %d of a log\n" % number for number in range(100_000))


def test_a_log_arrives_whole_and_is_called_complete(bulk, tmp_path):
    """Bytes, order, lines and hash: what the minion wrote is what the master has."""
    both = bulk()
    both.cable.plug()
    both.down.put([spool(tmp_path, TEXT)])
    wait_until(both.stored, timeout_s=20)
    assert both.logs.path(JOB, 2).read_bytes() == TEXT
    record = Records(both.storage).log(JOB, 2)
    assert record is not None
    assert (record.size_bytes, record.lines, record.gap) == (len(TEXT), 100_000, "")


def test_a_log_survives_lost_frames_and_a_pulled_cable(bulk, tmp_path):
    """Frames are lost in both directions and the connection breaks: the log is whole all the same."""
    both = bulk(loses=lossy(7, 0.04))
    both.cable.plug()
    closed = spool(tmp_path, TEXT)
    both.down.put([LogGrew(job=JOB, attempt=2, path=closed.path, size_bytes=closed.size_bytes // 2)])
    end_s = CLOCK.boot_s() + 60  # a bound on time, not on rounds: a slow machine gets little done in each
    while not both.stored() and CLOCK.boot_s() < end_s:
        size = both.logs.path(JOB, 2).stat().st_size if both.logs.path(JOB, 2).exists() else 0
        both.cable.pull()
        both.cable.plug()
        both.down.put([closed])
        try:
            wait_until(
                lambda before=size: both.stored() or both.logs.path(JOB, 2).stat().st_size > before, timeout_s=0.5
            )
        except (TimeoutError, FileNotFoundError):
            continue
    assert both.stored()
    assert both.logs.path(JOB, 2).read_bytes() == TEXT


def test_a_lost_chunk_is_sent_again_at_once(bulk, tmp_path):
    """The master says that there is a gap: nobody waits until the log is stuck; nor is everything sent for ever."""
    chunks = -(-len(TEXT) // CHUNK_BYTES)
    sent: list[int] = []

    def loses(direction: str, number: int) -> bool:
        # By what has been sent so far, not by chance: the chunk in the middle, and when it comes again, too.
        if direction == "up":
            sent.append(number)
        return direction == "up" and len(sent) in (chunks // 2, chunks // 2 + 12)

    both = bulk(loses=loses)
    both.cable.plug()
    both.down.put([spool(tmp_path, TEXT)])
    wait_until(both.stored, timeout_s=STUCK_S - 1.0)
    assert both.logs.path(JOB, 2).read_bytes() == TEXT
    assert len(sent) < 3 * chunks


def test_a_log_goes_on_where_a_dead_archive_left_it(bulk, tmp_path):
    """What was acknowledged before a restart is not sent again; the hash is right over both halves."""
    both = bulk()
    both.cable.plug()
    closed = spool(tmp_path, TEXT)
    half = len(TEXT) // 2
    both.down.put([LogGrew(job=JOB, attempt=2, path=closed.path, size_bytes=half)])
    wait_until(lambda: both.logs.path(JOB, 2).exists() and both.logs.path(JOB, 2).stat().st_size == half)
    both.cable.pull()
    both.archive.stop(timeout=5)
    both.start_archive()
    both.cable.plug()
    both.down.put([closed])
    wait_until(both.stored, timeout_s=20)
    assert both.logs.path(JOB, 2).read_bytes() == TEXT
    assert Records(both.storage).log(JOB, 2).gap == ""


def test_a_stale_attempts_log_is_dropped_and_acknowledged(bulk, tmp_path):
    """The attempt is the fencing token of logs too: the minion may forget it, the master keeps nothing of it."""
    both = bulk()
    both.cable.plug()
    path = tmp_path / "old.log"
    path.write_bytes(b"old\n")
    both.down.put([LogClosed(job=JOB, attempt=1, path=str(path), size_bytes=4, lines=1, sha256="x")])
    wait_until(both.stored)
    assert not both.logs.path(JOB, 1).exists()


def blob(master: Path, kind: BlobKind, files: dict[str, bytes]) -> Digest:
    folder = master.parent / "tree"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    tar = master.parent / "packed.tar"
    packed = pack(folder, tar)
    place = blob_path(master, kind, packed.digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    tar.rename(place)
    return packed.digest


def run_job(plugin: Digest) -> RunJob:
    return RunJob(
        session=1,
        run=RUN,
        run_number=1,
        job=JOB,
        name="a",
        attempt=2,
        pipeline="p",
        plugin=plugin,
        plugin_size_bytes=0,
        source=Digest("0" * 64),
        source_size_bytes=0,
        checkout=False,
    )


def test_a_plugin_is_fetched_in_pieces_checked_and_unpacked(bulk, tmp_path):
    """A blob of many pieces arrives although frames are lost."""
    both = bulk(loses=lossy(11, 0.15))
    data = bytes(range(256)) * 8000
    digest = blob(both.master, BlobKind.PLUGIN, {"app/pipeline.py": data})
    both.cable.plug()
    both.down.put([run_job(digest)])
    end_s = CLOCK.boot_s() + 60
    while not both.fetched and CLOCK.boot_s() < end_s:
        both.cable.pull()
        both.cable.plug()
        try:
            wait_until(lambda: both.fetched, timeout_s=0.5)
        except TimeoutError:
            continue
    assert both.fetched[0].error == ""
    assert (Path(both.fetched[0].plugin_dir) / "app/pipeline.py").read_bytes() == data


def test_a_blob_that_is_not_its_digest_is_refused(bulk):
    """What was damaged on the master's disk reaches no job."""
    both = bulk()
    digest = blob(both.master, BlobKind.PLUGIN, {"a": b"1"})
    place = blob_path(both.master, BlobKind.PLUGIN, digest)
    place.write_bytes(place.read_bytes().replace(b"1", b"2"))
    both.cable.plug()
    both.down.put([run_job(digest)])
    wait_until(lambda: both.fetched)
    assert "sha256" in both.fetched[0].error
    assert not list((both.folder / "cache/plugin").iterdir())


def test_a_blob_that_the_master_does_not_have_fails_the_attempt_clearly(bulk):
    """Nobody waits for ever."""
    both = bulk()
    both.cable.plug()
    both.down.put([run_job(Digest("a" * 64))])
    wait_until(lambda: both.fetched)
    assert "the master has no plugin" in both.fetched[0].error


def test_a_damaged_or_misplaced_chunk_is_not_written(tmp_path):
    """A log file takes what fits on, whole and undamaged, and nothing else."""
    file = LogFile(tmp_path / "x" / "0.1.log")
    assert file.append(0, b"abc", zlib.crc32(b"abc"))
    assert not file.append(5, b"gap", zlib.crc32(b"gap"))
    assert not file.append(3, b"abc", zlib.crc32(b"abd"))
    assert file.append(1, b"bcde", zlib.crc32(b"bcde"))
    file.sync()
    assert file.path.read_bytes() == b"abcde"
    assert file.sha256() == hashlib.sha256(b"abcde").hexdigest()
    file.close()


def test_log_files_outside_the_folder_are_refused(tmp_path):
    """A job's id is a peer's word: it names no file elsewhere."""
    files = LogFiles(tmp_path)
    for bad in ("../../etc-0", "a/b-0", ".-0", "x"):
        with pytest.raises(ValueError, match="not a"):
            files.path(bad, 1)


def test_a_bulk_hello_for_another_minion_is_dropped_and_counted(tmp_path):
    """Its own key speaks for a minion; a token's key only for one that never had its own."""
    deaths, storage, cable_in = Deaths(), MemoryStorage(), Inbox()
    store = Store.start(storage, deaths)
    keyed = MinionRecord(id=ME, name="m", ring=0, session=1, key="k" * 40)
    older = MinionRecord(id=MinionId("id-old"), name="old", ring=1, session=1)
    StoreClient(store).commit([*records.save_minion(keyed), *records.save_minion(older)])
    listener, dropped = RecordingListener(TO_MINION), Counter()
    Archive.start(
        inbox=cable_in,
        listener=listener,
        storage=storage,
        store=StoreClient(store),
        logs=LogFiles(tmp_path / "logs"),
        data_dir=tmp_path,
        on_log=lambda _news: None,
        die=deaths,
        dropped=dropped,
    )
    claims = [("minion/id-other", ME), ("token", ME), ("minion/id-m", ME), ("token", older.id)]
    for number, (user, claimed) in enumerate(claims):
        frame = Codec(()).encode(BulkHello(minion=claimed, session=1))
        cable_in.put([Delivery(PeerId(b"%d" % number), user, frame, 1.0)])
    wait_until(lambda: len(listener.sent) + dropped["spoofed"] == 4)
    assert [peer for peer, _ in listener.sent] == [b"2", b"3"]
    pykka.ActorRegistry.stop_all(timeout=5)
    storage.close()
    assert not deaths.seen


def test_a_log_of_an_attempt_that_told_its_end_is_taken_though_the_next_has_begun(bulk, tmp_path):
    """Tried again at once: the last lines of the first attempt are still under way."""
    both = bulk()
    tried = AttemptRecord(
        job=JOB, attempt=1, minion=ME, minion_name="m", session=1, result=Result(status=Status.FAILED)
    )
    StoreClient(both.store).commit(records.save_attempt(tried))
    both.cable.plug()
    path = tmp_path / "old.log"
    path.write_bytes(b"old\n")
    sha = hashlib.sha256(b"old\n").hexdigest()
    both.down.put([LogClosed(job=JOB, attempt=1, path=str(path), size_bytes=4, lines=1, sha256=sha)])
    wait_until(both.stored)
    assert both.logs.path(JOB, 1).read_bytes() == b"old\n"
    assert Records(both.storage).log(JOB, 1).gap == ""
