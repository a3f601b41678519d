"""Preloading a pipeline's file into a zygote, and when that is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What it would print at once is no test of what waits to be printed.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
PIPELINE = "\nimport cicd_sdk as ci\npipeline = ci.Pipeline('x')\n@pipeline.job\ndef a(): print('ran')\n"


def preload(tmp_path, source):
    entry = tmp_path / "pipeline.py"
    entry.write_text(source + PIPELINE)
    code = "import sys; from cicd_sdk import _zygote_api; print(_zygote_api.preload(sys.argv[1]))"
    return subprocess.run([sys.executable, "-c", code, str(entry)], capture_output=True, text=True, check=True).stdout


def test_a_plain_file_is_loaded(tmp_path):
    assert preload(tmp_path, "print('loading')") == "loading\nTrue\n"


@pytest.mark.parametrize(
    "source",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=[9], daemon=True).start()",
        "file = open('/dev/null')",
        "import socket; s = socket.socket()",
        "raise ValueError",
        "raise SystemExit",
        "import nope_nope",
    ],
)
def test_what_must_not_be_forked_is_refused(tmp_path, source):
    assert preload(tmp_path, source) == "False\n"


def test_what_the_file_prints_is_not_printed_again_by_each_child(tmp_path):
    (tmp_path / "pipeline.py").write_text("print('loading')" + PIPELINE)
    code = "import os, sys; from cicd_sdk import _zygote_api; _zygote_api.preload(sys.argv[1]); os.fork() and os.wait()"
    command = [sys.executable, "-c", code, str(tmp_path / "pipeline.py")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout == "loading\n"


def test_the_api_of_zygotes_is_what_hosts_know():
    from inspect import signature

    from cicd_sdk import _zygote_api

    assert list(signature(_zygote_api.preload).parameters) == ["entry"]
    assert list(signature(_zygote_api.serve_forked).parameters) == ["entry", "socket_dir"]
    assert Path(_zygote_api.__file__).name == "_zygote_api.py"
