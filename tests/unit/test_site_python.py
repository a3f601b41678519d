"""What a job types finds the packages that its pipeline depends on: `tool`, `python -m tool`, `python3`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cicd.plugins.build.site_folder import settle
from cicd.plugins.python_runtime import JOBS_PYTHON, scrubbed_environment


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """An artifact with one package and its script, as uv lays them down, then moved somewhere else."""
    site = tmp_path / "built" / "site"
    (site / "bin").mkdir(parents=True)
    (site / "tool.py").write_text("def main():\n    print('the tool')\n\nif __name__ == '__main__':\n    main()\n")
    script = site / "bin/tool"
    script.write_text("#!/gone/bin/python3\nfrom tool import main\nmain()\n")
    script.chmod(0o755)
    settle(site)
    return (tmp_path / "built").rename(tmp_path / "a folder of a minion")


@pytest.mark.parametrize(
    "command", [("tool",), ("python", "-m", "tool"), ("python3", "-c", "import tool; tool.main()")]
)
def test_a_job_finds_its_packages(command: tuple[str, ...], artifact: Path) -> None:
    env = scrubbed_environment(os.environ, artifact)
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=artifact)
    assert ended.stdout == "the tool\n"


def test_the_packages_of_cicd_itself_are_not_among_them(artifact: Path) -> None:
    env = scrubbed_environment(os.environ, artifact)
    code = "import sys; print(sys.executable, any('cicd' == m for m in sys.modules)); import cicd"
    ended = subprocess.run(["python", "-c", code], env=env, capture_output=True, text=True, check=False, cwd=artifact)
    assert ended.stdout == f"{JOBS_PYTHON} False\n"
    assert "No module named 'cicd'" in ended.stderr
