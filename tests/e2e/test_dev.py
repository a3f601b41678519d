"""`cicd dev`: one command, a whole cluster; a save runs again, a dead process comes back, Ctrl-C leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from cicd.testing.waiting import wait_until
from e2e import PYTHON, Repository

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PIPELINE = """
import cicd_sdk as ci

pipeline = ci.Pipeline("shown")

@pipeline.job
def show(ctx: ci.Context) -> None:
    print("it says", (ctx.workspace / "text.txt").read_text().strip())

if __name__ == "__main__":
    pipeline.main()
"""


class Dev:
    """A running `cicd dev`; what it prints is in a file."""

    def __init__(self, folder: Path, out: Path, *arguments: str) -> None:
        self.out = out
        self.temp = Path(tempfile.mkdtemp(prefix="cd-"))
        env = {**os.environ, "TMPDIR": str(self.temp)}
        with out.open("w") as file:
            self.process = subprocess.Popen(
                [PYTHON, "-P", "-m", "cicd", "dev", str(folder), *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=out.parent,
                env=env,
                start_new_session=True,
            )

    def says(self, pattern: str, timeout_s: float = 60.0) -> None:
        def said() -> bool:
            assert self.process.poll() is None or re.search(pattern, self.out.read_text()), self.out.read_text()
            return re.search(pattern, self.out.read_text()) is not None

        wait_until(said, timeout_s, f"{pattern!r} in\n{self.out.read_text()}")

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, sig: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(30)
        left = list(self.temp.iterdir())
        for path in left:
            subprocess.run(["rm", "-rf", str(path)], check=True)
        self.temp.rmdir()
        assert not left, left
        return code


def save(path: Path, text: str) -> None:
    """Replace a file at once, as editors do: a file that is cut and then written is two saves."""
    new = path.parent.parent / "new"
    new.write_text(text)
    new.replace(path)


def test_a_save_runs_again_a_dead_master_comes_back_and_ctrl_c_leaves_nothing(tmp_path):
    """Uncommitted work is what runs; processes and folders are gone in the end."""
    repository = Repository(tmp_path / "shown")
    repository.write({".cicd/pipeline.py": PIPELINE, "text.txt": "first"})
    dev = Dev(repository.path, tmp_path / "out")
    try:
        dev.says(r"it says first")
        dev.says(r"#1 succeeded")
        save(repository.path / "text.txt", "second")
        dev.says(r"it says second")
        dev.says(r"#2 succeeded")

        (master,) = [one for one in dev.family() if "cicd.master" in one.cmdline()]
        master.kill()
        dev.says(r"master ended .*")
        save(repository.path / "text.txt", "third")
        dev.says(r"it says third")
        dev.says(r"#3 succeeded")
        family = dev.family()
        assert len(family) >= 5
    finally:
        code = dev.end()
    assert code == 130
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_once_ends_with_the_runs_own_code(tmp_path):
    """`--once` is for scripts: 0 or 1, nothing left."""
    repository = Repository(tmp_path / "once")
    repository.write({".cicd/pipeline.py": PIPELINE.replace("text.txt", "missing.txt"), "text.txt": "x"})
    dev = Dev(repository.path, tmp_path / "out", "--once", "--minions", "1")
    wait_until(lambda: dev.process.poll() is not None, 60)
    assert dev.end() == 1
    assert "FileNotFoundError" in (tmp_path / "out").read_text()
