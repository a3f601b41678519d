"""The rules of this suite's own conftest: nothing is left behind, and nothing is skipped where that is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

LEAKS = {
    "thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "process": "import subprocess\nglobal child\nchild = subprocess.Popen(['sleep', '1000'])",
    "descriptor": "import os\nos.open('/etc/hostname', os.O_RDONLY)",
    "folder": "import tempfile\ntempfile.mkdtemp()",
    "actor": "import pykka\npykka.ThreadingActor.start()",
}


def run_suite(folder: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text().replace("_SETTLE_S = 5.0", "_SETTLE_S = 0.2"))
    (folder / "test_inner.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_ADDOPTS")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def body(statements: str) -> str:
    return "def test_inner():\n" + "".join(f"    {line}\n" for line in statements.splitlines())


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_fails_the_test_that_made_it(kind: str, tmp_path: Path) -> None:
    ended = run_suite(
        tmp_path, body(LEAKS[kind])
    )  # an actor or process that is not ended would keep this from returning
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f"left behind: {kind}" in ended.stdout, ended.stdout


def test_a_leak_can_be_allowed_by_name(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.leaks('folder', 'shows that it can')\n" + body(LEAKS["folder"])
    ended = run_suite(tmp_path, source)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize(
    "source",
    [
        body("import pytest\npytest.skip('no reason')"),
        "import pytest\n@pytest.mark.skip(reason='no reason')\n" + body("pass"),
        "import pytest\npytest.skip('no reason', allow_module_level=True)\n",
    ],
)
def test_a_skipped_test_fails_where_nothing_may_be_skipped(source: str, tmp_path: Path) -> None:
    allowed = run_suite(tmp_path, source)
    assert "1 skipped" in allowed.stdout
    refused = run_suite(tmp_path, source, "--no-skips")
    assert refused.returncode in (1, 2)
    assert "does not allow: " in refused.stdout
    assert "no reason" in refused.stdout
