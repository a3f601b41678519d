"""A run whose plugin retention has removed is not run again: it says so at once, and not by a job that cannot begin."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from actors_support import run_record
from cicd.actors.archive import blob_path
from cicd.actors.desk.run_control_calls import RunControlCalls
from cicd.core.events import Asker, RunSubmitted
from cicd.errors import NotFoundError
from cicd.ids import IdSource
from cicd.messages.base import Digest, RunId
from cicd.messages.bulk import BlobKind
from cicd.messages.client import RetryRun
from cicd.messages.pipeline import BuildState, JobSpec, PipelineRecord, PipelineSpec, PluginRecord, Source
from cicd.messages.run import RunState
from cicd.storage import records
from cicd.storage.memory import MemoryStorage
from cicd.testing.fake_clock import FakeClock

RUN = RunId("01run")


def test_it_is_refused_when_its_files_are_gone_and_keeps_them_when_they_are_there(tmp_path):
    storage, clock, events = MemoryStorage(), FakeClock(), []
    run = replace(run_record(RUN), state=RunState.FAILED, job_count=0, plugin=Digest("a" * 64))
    run = replace(run, source_digest=Digest("b" * 64))
    spec = PipelineSpec(name="p", jobs=(JobSpec(name="a"),))
    plugin = PluginRecord(
        digest=run.plugin, size_bytes=1, source_digest=run.source_digest, source_size_bytes=1, commit="c", language="x",
        spec=spec,
    )  # fmt: skip
    pipeline = PipelineRecord(
        id=run.pipeline, name=run.pipeline_name, source=Source(repository="r"), build_state=BuildState.READY
    )
    _, made = records.create_pipeline(pipeline)
    storage.commit([], [*made, *records.save_plugin(plugin), *records.save_run(run)])
    tools = SimpleNamespace(
        storage=storage,
        clock=clock,
        ids=IdSource(clock),
        events=SimpleNamespace(put=events.extend),
        about=SimpleNamespace(data_dir=tmp_path),
    )
    calls = RunControlCalls(tools)
    with pytest.raises(NotFoundError, match="cannot be run again"):
        calls.RetryRun(RetryRun(run=RUN), "ann", Asker(1))
    assert events == []
    tar = blob_path(tmp_path, BlobKind.PLUGIN, run.plugin)
    source = blob_path(tmp_path, BlobKind.SOURCE, run.source_digest)
    for path in (tar, source):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"tar")
        os.utime(path, (0, 0))
    calls.RetryRun(RetryRun(run=RUN), "ann", Asker(1))
    assert [type(event) for event in events] == [RunSubmitted]
    assert source.stat().st_mtime == pytest.approx(clock.wall_s(), abs=2)
