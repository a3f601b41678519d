"""A minion's jobhost as a real process, for tests: the test runs it, and speaks for its agent."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cicd.clock import SystemClock
from cicd.messages.base import Digest, JobId, RunId
from cicd.messages.jobhost import Cancel, Finished, Grant, LogClosed, Start, Stopping
from cicd.messages.minion import RunJob
from cicd.messages.run import Result
from cicd.plugins.leftovers import marked, name_of
from cicd.testing.fake_agent import AgentTalk, FakeAgent
from cicd.testing.waiting import wait_until


class JobhostLab:
    """One minion with its data folder, and the agent that speaks to it.

    Args:
        things: a folder with a `plugin` and a `source` tree.

    Attributes:
        data: the minion's data folder.
        talk: the agent's conversation with the jobhost; replace it when the agent was restarted.
        session: the session that is granted and started with.
    """

    def __init__(self, things: Path) -> None:
        self.things = things
        self.folder = Path(tempfile.mkdtemp(prefix="m"))
        self.data = self.folder / "data"
        self.agents = FakeAgent(self.folder)
        self.clock = SystemClock()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.session = 1
        self.talk: AgentTalk

    def start(
        self, jobs: str = "", *, logs: str = "", lease_s: float = 60.0, env: dict[str, str] | None = None
    ) -> AgentTalk:
        """Start a jobhost with these lines for its `[jobs]` and its `[logs]`, and grant it a lease."""
        config = self.folder / "minion.toml"
        command = ", ".join(f'"{word}"' for word in self.agents.command)
        config.write_text(
            f'[minion]\nname = "m"\ndata_dir = "{self.data}"\nslots = 2\n[master]\ntoken = "t"\n'
            f"[agent]\ncommand = [{command}]\nrestart_delay_s = 0.02\n[jobs]\n{jobs}\n[logs]\n{logs}\n"
        )
        self.spawn(config, env or {})
        self.talk = self.agents.accept()
        self.grant(lease_s)
        return self.talk

    def spawn(self, config: Path, env: dict[str, str]) -> None:
        """Start the process."""
        argv = [sys.executable, "-m", "cicd.minion", "--config", str(config)]
        with (self.folder / "stderr").open("ab") as stderr:
            self.processes.append(subprocess.Popen(argv, cwd=self.folder, stderr=stderr, env={**os.environ, **env}))

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest jobhost."""
        return self.processes[-1]

    @property
    def stderr(self) -> str:
        """What the jobhosts have logged."""
        return (self.folder / "stderr").read_text()

    def grant(self, lease_s: float) -> None:
        """Grant the lease from now."""
        self.talk.send(Grant(session=self.session, deadline_boot_s=self.clock.boot_s() + lease_s))

    def shorten_lease(self, lease_s: float) -> None:
        """Grant a lease that ends earlier, which only a new session's can, and see that it has arrived."""
        self.session += 1
        self.grant(lease_s)
        self.talk.send(Cancel(job=JobId("01run-99"), attempt=self.session, grace_s=0))
        self.talk.wait_for(Finished, lambda message: message.job == "01run-99")

    def begin(self, name: str, index: int = 0, *, attempt: int = 1, plugin: Path | None = None, **run: Any) -> JobId:
        """Start a job of the plugin; fields of its RunJob can be given. Return its id."""
        job = JobId(f"01run-{index}")
        fields: dict[str, Any] = {
            "session": self.session,
            "run": RunId("01run"),
            "run_number": 4,
            "job": job,
            "name": name,
            "attempt": attempt,
            "pipeline": "web",
            "plugin": Digest("0" * 64),
            "plugin_size_bytes": 1,
            "source": Digest("0" * 64),
            "source_size_bytes": 1,
        }
        self.talk.send(
            Start(
                run_job=RunJob(**(fields | run)),
                plugin_dir=str(plugin or self.things / "plugin"),
                source_dir=str(self.things / "source"),
            )
        )
        return job

    def finished(self, job: str = "01run-0") -> Result:
        """Return the result of a job when it has come."""
        return self.talk.wait_for(Finished, lambda message: message.job == job).result

    def run(self, name: str, index: int = 0, **run: Any) -> tuple[Result, str]:
        """Run a job to its end; return its result and its log."""
        result = self.finished(self.begin(name, index, **run))
        closed = self.talk.wait_for(LogClosed)
        data = Path(closed.path).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        # These hold for every job, so that each test is one of the log too.
        assert (closed.size_bytes, closed.sha256) == (len(data), digest) == (result.log_bytes, result.log_sha256)  # noqa: S101  a test's
        assert closed.lines == result.log_lines == len(data.splitlines())  # noqa: S101  the same
        return result, data.decode()

    def wait_for_output(self, text: str, job: str = "01run-0", attempt: int = 1) -> None:
        """Wait until a log holds this text."""
        path = self.data / "spool" / f"{job}.{attempt}.log"
        wait_until(lambda: path.exists() and text in path.read_text(), 20, f"{text!r} in {path}")

    def alive(self) -> list[str]:
        """Everything that runs of any attempt."""
        minion = (self.data / "minion_id").read_text().strip()
        names = {pid: name_of(pid) for pid in marked(minion)}
        return [f"{pid} {name}" for pid, name in names.items() if name not in ("cicd-zygote", "cicd-done", "")]

    def pid_of(self, name: str) -> int:
        """Return the process of this name that runs for the minion."""
        minion = (self.data / "minion_id").read_text().strip()
        return next(pid for pid in marked(minion) if name_of(pid) == name)

    def stop(self) -> int:
        """End the jobhost as a service manager does; return its exit code."""
        self.process.terminate()
        self.talk.wait_for(Stopping)
        self.talk.exit(0)
        return self.process.wait(10)

    def close(self) -> None:
        """End everything, and see that nothing is left."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        self.agents.close()
        for process in self.processes:
            try:
                process.wait(10)
            finally:
                process.kill()
        minion = self.data / "minion_id"
        if minion.exists():
            wait_until(lambda: not marked(minion.read_text().strip()), 10, "an end of all that was started")
        if (self.data / "sockets").is_symlink():  # of a minion that was killed
            shutil.rmtree((self.data / "sockets").readlink(), ignore_errors=True)
        shutil.rmtree(self.folder)
