"""`make demo` passes, tells who did what and leaves nothing behind; with a broken test it fails and says why."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).resolve().parents[2] / "examples/demo.py"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def run_demo(python: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo from outside the checkout with a temporary folder of its own, and see that it leaves nothing."""
    # Unix sockets lie below it: its path is short.
    ended = subprocess.run(
        [python, "-P", DEMO, *options],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert list(folder.iterdir()) == []
    assert [p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in a for a in p.info["cmdline"] or ())] == []
    return ended


def table(output: str) -> dict[str, list[str]]:
    """Return the rows of the summary: job -> minion, wait, time, status."""
    _, _, rest = output.partition("\nJOB ")
    rows = [re.split(r" {2,}", line.strip()) for line in rest.splitlines()[1:6]]
    return {cells[0]: cells[1:] for cells in rows}


def test_the_demo_passes_and_tells_who_did_what(installed_python: str, short_folder: Path) -> None:
    ended = run_demo(installed_python, short_folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = table(ended.stdout)
    assert set(rows) == {"lint", "unit", "api", "wheel", "note"}
    assert {cells[-1] for cells in rows.values()} == {"succeeded"}
    assert {cells[0] for cells in rows.values()} == {"minion-1", "minion-2"}
    # The last job used the outputs of the others, and the param.
    assert re.search(r"shortlinks 1\.4\.0\.dev1 for channel dev", ended.stdout)
    assert re.search(r"28 tests passed", ended.stdout)


def test_a_broken_test_fails_the_run_with_the_words_of_pytest(installed_python: str, short_folder: Path) -> None:
    ended = run_demo(installed_python, short_folder, "--break")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    rows = table(ended.stdout)
    assert rows["unit"][-1] == "failed"
    assert {rows[job][-1] for job in ("lint", "api", "wheel")} == {"succeeded"}
    assert rows["note"][-1] == "skipped"
    assert "AssertionError" in ended.stdout
    assert "FAILED tests/unit/test_codes.py::test_a_number_has_one_code[58-12]" in ended.stdout
    assert "1 failed, " in ended.stdout
