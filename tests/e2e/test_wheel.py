"""The built wheel holds all that the checkout does: nobody who works in the checkout would miss a file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LIST = """
import importlib.util, json, pathlib
found = {}
for name in ("cicd", "cicd_sdk"):
    folder = pathlib.Path(importlib.util.find_spec(name).origin).parent
    found[name] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
print(json.dumps(found))
"""

pytestmark = pytest.mark.e2e


def test_every_file_of_the_packages_is_installed(installed_python: str, tmp_path: Path) -> None:
    listed = subprocess.run([installed_python, "-c", LIST], cwd=tmp_path, capture_output=True, text=True, check=True)
    installed = json.loads(listed.stdout)
    for name, folder in (("cicd", ROOT / "cicd"), ("cicd_sdk", ROOT / "sdk/python/cicd_sdk")):
        kept = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert kept - set(installed[name]) == set()


def test_the_installed_command_tells_its_version(installed_python: str, tmp_path: Path) -> None:
    command = Path(installed_python).with_name("cicd")
    told = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "0.1.0" in told.stdout
