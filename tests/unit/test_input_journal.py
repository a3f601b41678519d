"""The journal of inputs on disk: whole where it can be, honest where it cannot, and never in the way."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from actors_support import run_record
from cicd.cli import cli
from cicd.core import cluster
from cicd.core.book import Book
from cicd.core.cluster import Cluster
from cicd.core.events import Event, MinionBeat, MinionSaidHello, Now, Origin, RunSubmitted, Ticked
from cicd.core.settings import CoreSettings
from cicd.messages.base import MinionId
from cicd.messages.minion import Beat, Hello
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.replay import files as files_module
from cicd.replay import segments, writer
from cicd.replay.files import Limits
from cicd.replay.reader import read
from cicd.replay.segments import JournalDamagedError
from cicd.replay.verdict import replay
from cicd.replay.writer import InputJournal
from cicd.testing.waiting import wait_until

WALL_S = 1_767_600_000.0


class Master:
    """A core with a journal, and a day that is always the same."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.cluster = Cluster(CoreSettings())
        self.boot_s = 100.0
        self.journal = InputJournal(folder, self.cluster, self.now, limits or Limits())
        self.seq = 0

    @property
    def now(self) -> Now:
        return Now(boot_s=self.boot_s, wall_s=WALL_S + self.boot_s)

    def tell(self, *events: Event) -> None:
        self.boot_s += 0.25
        self.journal.handle(events, self.now)

    def hello(self, name: str, **fields) -> None:
        hello = Hello(
            minion=MinionId(f"id-{name}"), name=name, hostname="h", version="1", platform="p", slots=2, **fields
        )
        self.tell(MinionSaidHello(hello=hello, origin=Origin(name.encode()), user="t", received_boot_s=self.boot_s))

    def submit(self, run: str, **fields) -> None:
        spec = PipelineSpec(name="p", jobs=(JobSpec(name="a"), JobSpec(name="b")))
        self.tell(RunSubmitted(run=replace(run_record(run), **fields), spec=spec))

    def beat(self, name: str) -> None:
        self.seq += 1
        beat = Beat(session=1, seq=self.seq, sent_boot_s=self.boot_s)
        self.tell(MinionBeat(minion=MinionId(f"id-{name}"), beat=beat, received_boot_s=self.boot_s))

    def day(self) -> None:
        self.hello("m")
        self.submit("run-1")
        for _ in range(20):
            self.tell(Ticked())
            self.beat("m")
        self.submit("run-2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def files(folder: Path) -> list[Path]:
    return [segments.path_of(folder, number) for number in segments.numbers(folder)]


def test_a_day_is_decided_the_same_again_and_only_its_owner_can_read_it(folder):
    master = Master(folder)
    master.day()
    master.journal.sync()
    while_it_runs = replay(read(folder))
    master.journal.close()
    verdict = replay(read(folder))
    assert (verdict.segments, verdict.batches, verdict.difference) == (1, 43, None)
    assert while_it_runs == verdict
    assert verdict.decisions > 30
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in files(folder)] == [0o600]


def test_neither_hashing_nor_the_process_decides(folder):
    """The same journal in processes whose strings hash otherwise."""
    master = Master(folder)
    for index in range(6):
        master.hello(f"m{index}", labels=("x", "y", "z"), tags=("t", "u"))
    master.day()
    master.journal.close()
    code = (
        "import sys, pathlib; from cicd.replay.reader import read; from cicd.replay.verdict import replay;"
        "verdict = replay(read(pathlib.Path(sys.argv[1]))); print(verdict.batches, verdict.difference)"
    )
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert told.stdout.split() == ["49", "None"]


def test_a_new_segment_follows_and_can_be_read_by_itself(folder, monkeypatch):
    monkeypatch.setattr(writer, "_LEAST_SEGMENT_BYTES", 4096)
    monkeypatch.setattr(writer, "_PER_CHECKPOINT", 1)
    master = Master(folder)
    for _ in range(8):
        master.day()
    master.journal.close()
    found = read(folder)
    assert len(found) > 2
    assert [segment.header.kind for segment in found] == ["start", *["next"] * (len(found) - 1)]
    assert replay(found).difference is None
    assert replay(found[1:]).difference is None
    middle = found[-2].header.wall_s + 0.1
    assert [segment.path for segment in read(folder, middle)] == [segment.path for segment in found[-2:]]


def test_what_a_kill_cut_off_is_left_out_and_damage_is_said(folder):
    master = Master(folder)
    master.day()
    master.journal.close()
    (file,) = files(folder)
    whole = file.read_bytes()
    batches = replay(read(folder)).batches
    for cut in (1, 5, 20):
        file.write_bytes(whole[:-cut])
        assert replay(read(folder)).batches == batches - 1
    file.write_bytes(whole + bytes(4096))
    assert replay(read(folder)).batches == batches
    file.write_bytes(whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:])
    with pytest.raises(JournalDamagedError, match=r"00000001\.inputs: damaged at byte"):
        replay(read(folder))
    file.write_bytes(whole[:4])  # killed before it wrote anything
    assert read(folder) == []
    file.write_bytes(segments.frame(b"no header"))
    with pytest.raises(JournalDamagedError, match="no journal of a master's"):
        read(folder)


def test_a_record_that_was_changed_is_where_the_replay_says_it_differs(folder):
    master = Master(folder)
    master.day()
    master.journal.close()
    (file,) = files(folder)
    frames = list(segments.frames(file))
    changed = next(index for index, frame in enumerate(frames) if b"run-2" in frame)
    frames[changed] = frames[changed].replace(b"run-2", b"run-3", 1)
    file.write_bytes(b"".join(map(segments.frame, frames)))
    difference = replay(read(folder)).difference
    assert difference is not None
    assert (difference.segment, difference.batch) == (file.name, changed - 1)
    assert "run-3" in difference.events[0]
    assert "run run-2 queued" in difference.expected
    assert "run run-3 queued" in difference.got


def test_on_a_full_disk_it_stops_says_so_and_begins_again_with_the_gap_noted(folder, monkeypatch, capfd):
    """The core goes on as if nothing were."""
    full = True
    write = os.write

    def no_room(fd: int, data: bytes) -> int:
        if full and folder in Path(f"/proc/self/fd/{fd}").readlink().parents:
            write(fd, bytes(data[:7]))  # as a disk does that fills up in mid-write
            raise OSError(28, "No space left on device")
        return write(fd, data)

    master = Master(folder)
    master.day()
    master.journal.sync()
    before, size = replay(read(folder)).batches, files(folder)[0].stat().st_size
    monkeypatch.setattr(files_module.os, "write", no_room)
    master.day()
    master.journal.sync()
    wait_until(lambda: (master.tell(Ticked()), "journal.stopped" in "".join(capfd.readouterr()))[1], timeout_s=10)
    assert (replay(read(folder)).batches, files(folder)[0].stat().st_size) == (before, size)
    full = False
    master.boot_s += writer.RETRY_S
    master.tell(Ticked())
    master.day()
    master.journal.close()
    found = read(folder)
    assert [segment.header.kind for segment in found] == ["start", "gap"]
    assert "batches were not written: No space left on device" in found[1].header.gap
    verdict = replay(found)
    assert (verdict.difference, len(verdict.gaps)) == (None, 1)
    assert len(master.cluster.book.runs) == 2


def test_it_leaves_the_last_of_the_disk_to_the_store(folder):
    master = Master(folder, Limits(keep_free_bytes=1 << 62))
    master.journal.sync()
    master.day()
    master.journal.close()
    assert files(folder) == []
    assert len(master.cluster.book.runs) == 2


def test_an_event_that_cannot_be_written_stops_the_journal_not_the_core(folder):
    master = Master(folder)
    master.submit("run-1", commit="\ud800")
    master.submit("run-2")
    assert len(master.cluster.book.runs) == 2
    master.journal.close()
    assert replay(read(folder)).batches == 0


def test_how_the_core_failed_is_kept_and_it_fails_so_again(folder, monkeypatch):
    def broken(_book: Book, _event: Ticked) -> None:
        raise KeyError("a bug")

    master = Master(folder)
    master.hello("m")
    with monkeypatch.context() as patch:
        patch.setitem(cluster._HANDLERS, Ticked, broken)
        with pytest.raises(KeyError):
            master.tell(Ticked())
        verdict = replay(read(folder))
        assert (verdict.batches, verdict.difference) == (2, None)
    difference = replay(read(folder)).difference  # the bug is mended
    assert difference is not None
    assert difference.expected == ("KeyError: 'a bug'",)
    master.journal.close()


def test_the_oldest_segments_go_by_size_and_age(folder, monkeypatch):
    monkeypatch.setattr(writer, "_LEAST_SEGMENT_BYTES", 4096)
    monkeypatch.setattr(writer, "_PER_CHECKPOINT", 1)
    master = Master(folder, Limits(max_bytes=40_000))
    for _ in range(30):
        master.day()
        master.journal.sync()
    master.journal.close()
    sizes = [file.stat().st_size for file in files(folder)]
    assert sum(sizes[:-1]) <= 40_000
    assert len(sizes) > 2
    first, last = read(folder)[0], read(folder)[-1]
    assert int(first.path.stem) - 1 == last.header.deleted > 0

    for file in files(folder):
        os.utime(file, (0, 0))
    master = Master(folder)
    master.journal.close()
    assert len(files(folder)) == 1


def test_a_journal_of_other_code_says_so(folder):
    master = Master(folder)
    master.day()
    master.journal.close()
    (segment,) = read(folder)
    assert segment.is_of_this_version
    (file,) = files(folder)
    header, *rest = segments.frames(file)
    other = replace(segments.header_of(header, file), core="0" * 16)
    file.write_bytes(b"".join(map(segments.frame, [msgspec.msgpack.encode(other), *rest])))
    assert not read(folder)[0].is_of_this_version


# ---- cicd replay ---------------------------------------------------------------------------------------


def cicd_replay(folder: Path, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["replay", "--data-dir", str(folder.parent), *options])
    return result.exit_code, result.stdout, result.stderr


def test_cicd_replay_says_that_all_is_the_same_or_where_it_differs(folder):
    master = Master(folder)
    master.day()
    master.journal.close()
    decisions = replay(read(folder)).decisions
    assert cicd_replay(folder) == (0, f"43 batches, {decisions} decisions: all the same\n", "")
    code, told, _ = cicd_replay(folder, "--output", "json", "--from", "2000-01-01")
    assert code == 0
    assert json.loads(told)["same"] is True

    (file,) = files(folder)
    frames = [frame.replace(b"run-2", b"run-3", 1) for frame in segments.frames(file)]
    file.write_bytes(b"".join(map(segments.frame, frames)))
    code, told, _ = cicd_replay(folder)
    assert code == 1
    first, *rest = told.splitlines()
    assert first == "the first difference: 00000001.inputs, batch 43, 2026-01-05T08:01:50Z"
    assert "  run run-2 queued" in rest[rest.index("decided then:") : rest.index("decided now:")]
    assert "  run run-3 queued" in rest[rest.index("decided now:") :]
    code, told, _ = cicd_replay(folder, "--output", "json")
    assert (code, json.loads(told)["difference"]["batch"]) == (1, 43)


def test_cicd_replay_says_what_it_cannot_read(folder):
    assert cicd_replay(folder)[::2] == (2, f"cicd: there is no journal in {folder}\n")
    assert cicd_replay(folder, "--from", "yesterday")[0] == 2
    master = Master(folder)
    master.day()
    master.journal.close()
    (file,) = files(folder)
    header, *rest = segments.frames(file)
    other = replace(segments.header_of(header, file), core="0" * 16, version="0.0.1", gap="4 batches were not written")
    file.write_bytes(b"".join(map(segments.frame, [msgspec.msgpack.encode(other), *rest])))
    code, told, complaint = cicd_replay(folder)
    assert (code, told) == (2, "")
    assert "1 segment left out: written by another version: 0.0.1 (0000000000000000)" in complaint
    assert "nothing of this journal was written by this version" in complaint
    file.write_bytes(b"".join(map(segments.frame, [header, *rest]))[:-9] + b"\1" * 9)
    code, _, complaint = cicd_replay(folder)
    assert code == 2
    assert "00000001.inputs: damaged at byte" in complaint
