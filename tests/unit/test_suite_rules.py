"""The rules of this suite's own conftest: nothing is left behind, and nothing is skipped where that is asked for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

LEAKS = {
    "thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "process": "import subprocess\nglobal child\nchild = subprocess.Popen(['sleep', '1000'])",
    "descriptor": "import os\nos.open('/etc/hostname', os.O_RDONLY)",
    "folder": "import tempfile\ntempfile.mkdtemp()",
    "actor": "import pykka\npykka.ThreadingActor.start()",
}


SKIPS = {
    "test_call.py": "import pytest\ndef test_inner():\n    pytest.skip('no reason 1')\n",
    "test_mark.py": "import pytest\n@pytest.mark.skip(reason='no reason 2')\ndef test_inner():\n    pass\n",
    "test_module.py": "import pytest\npytest.skip('no reason 3', allow_module_level=True)\n",
}


def run_suite(folder: Path, files: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text().replace("_SETTLE_S = 5.0", "_SETTLE_S = 0.2"))
    for name, source in files.items():
        (folder / name).write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k not in ("CI", "PYTEST_ADDOPTS")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def function(name: str, statements: str) -> str:
    return f"def {name}():\n" + "".join(f"    {line}\n" for line in statements.splitlines())


def test_a_leak_fails_the_test_that_made_it(tmp_path: Path) -> None:
    source = "\n".join(function(f"test_{kind}", statements) for kind, statements in LEAKS.items())
    # An actor or a process that is not ended would keep this from returning.
    ended = run_suite(tmp_path, {"test_inner.py": source})
    found = re.findall(r"^left behind: (\w+) ", ended.stdout, re.MULTILINE)
    assert found == list(LEAKS), ended.stdout + ended.stderr
    assert ended.returncode == 1


def test_a_leak_can_be_allowed_by_name(tmp_path: Path) -> None:
    source = "import pytest\n@pytest.mark.leaks('folder', 'shows that it can')\n" + function("test_it", LEAKS["folder"])
    ended = run_suite(tmp_path, {"test_inner.py": source})
    assert ended.returncode == 0, ended.stdout


def test_a_skipped_test_fails_where_nothing_may_be_skipped(tmp_path: Path) -> None:
    allowed = run_suite(tmp_path, SKIPS)
    assert "3 skipped" in allowed.stdout
    refused = run_suite(tmp_path, SKIPS, "--no-skips", "--continue-on-collection-errors")
    assert refused.returncode == 1, refused.stdout
    assert "skipped" not in refused.stdout.splitlines()[-1]
    for why in ("no reason 1", "no reason 2", "no reason 3"):
        assert f"does not allow: Skipped: {why}" in refused.stdout or f"does not allow: {why}" in refused.stdout
