"""What is checked in is what the contract gives."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def test_the_generated_files_are_fresh():
    pytest.importorskip("grpc_tools", reason="grpcio-tools parses the .proto; it is in the lint extra")
    pytest.importorskip("ruff", reason="ruff formats what is generated; it is in the lint extra")
    command = [sys.executable, str(ROOT / "proto/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
