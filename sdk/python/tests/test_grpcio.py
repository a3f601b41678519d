"""A served pipeline, driven by grpcio, which is what most hosts outside this project are built on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cicd.plugins.pb import pipeline_pb2 as pb

pytest.importorskip("grpc", reason="grpcio is in the test extra")

SOURCE = """
import cicd_sdk as ci
pipeline = ci.Pipeline("x")

@pipeline.job
def much(ctx):
    for i in range(500):
        ctx.summary("x" * 100_000)

@pipeline.job
def endless(ctx):
    while True:
        ctx.summary("x" * 10_000)

@pipeline.job
def refused(ctx): pass

if __name__ == "__main__":
    pipeline.main()
"""


@pytest.fixture
def seen_by_grpcio(start_plugin):
    def run(job, **way):
        plugin = start_plugin(SOURCE, **way)
        program = Path(__file__).parent / "grpcio_client.py"
        done = subprocess.run(
            [sys.executable, str(program), plugin.path, job], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert plugin.process.wait(10) == 0
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("way", [{}, {"forked": True}])
def test_fifty_megabytes_and_everything_else(seen_by_grpcio, way):
    seen = seen_by_grpcio("much", **way)
    assert seen.pop("wrong params") == ""
    assert seen == {
        "health": "0801", "jobs": ["much", "endless", "refused"], "unknown": "UNIMPLEMENTED",
        "too big": "RESOURCE_EXHAUSTED",
        "compressed": "UNIMPLEMENTED", "size": 50_000_000, "last": "result", "status": pb.STATUS_SUCCEEDED,
        "message": "",
        "second": "FAILED_PRECONDITION", "shutdown": "OK",
    }  # fmt: skip


def test_cancel_in_mid_stream(seen_by_grpcio):
    seen = seen_by_grpcio("endless")
    assert (seen["status"], seen["message"], seen["last"]) == (pb.STATUS_CANCELLED, "enough", "result")
    assert seen["size"] > 5_000_000


def test_a_status_with_text_in_any_language(seen_by_grpcio):
    code, text = seen_by_grpcio("refused")["wrong params"]
    assert (code, text) == ("INVALID_ARGUMENT", "there is no param 'ä' (this pipeline takes none)")
