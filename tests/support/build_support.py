"""Git repositories that tests commit to, and a real build host on a socketpair."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from cicd.codec import Codec
from cicd.messages.base import PipelineId, Wire
from cicd.messages.build import TO_COMPILER, Build, BuildFailed, Built
from cicd.messages.pipeline import PluginRecord, Source
from cicd.plugins.build.settings import BuildSettings, encode_settings
from cicd.plugins.framing import LIMIT_BYTES, recv_frame, send_frame

PIPELINE = """
import cicd_sdk as ci

pipeline = ci.Pipeline("web", description="the web app")

@pipeline.job
def test(ctx: ci.Context) -> None:
    print("hello")

if __name__ == "__main__":
    pipeline.main()
"""

ANSWER_S = 60.0
"""Longest that a test waits for a build."""


class Origin:
    """A repository that commits are made in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": "1700000000 +0000",
        }  # fmt: skip
        done = subprocess.run(["git", *arguments], cwd=self.path, env=env, input=data, capture_output=True, check=True)
        return done.stdout.decode().strip()

    def commit(self, name: str, content: str | bytes) -> str:
        """Write a file, commit everything, return the commit."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", name)
        return self.git("rev-parse", "HEAD")


class RunningBuildHost:
    """A build host as a master would start it; a context manager.

    Args:
        settings: what it is told first.
        environment: added to this process's own.
    """

    def __init__(self, settings: BuildSettings, environment: dict[str, str] | None = None) -> None:
        self.settings = settings
        self.data_dir = Path(settings.data_dir)
        self._codec = Codec(TO_COMPILER, LIMIT_BYTES)
        ours, theirs = socket.socketpair()
        self.sock = ours
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cicd.plugins.build.host", "--fd", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                env=os.environ | (environment or {}),
            )
        send_frame(ours, encode_settings(settings))
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()
        try:
            self.process.wait(timeout=15)
        finally:
            self.process.kill()
            self.process.wait()

    def send(self, message: Wire) -> None:
        send_frame(self.sock, self._codec.encode(message))

    def begin(self, source: Source, pipeline: str = "p1", number: int = 0) -> Path:
        """Ask for a build; return its log's path."""
        self._number = number or self._number + 1
        log = self.data_dir / "logs" / f"{pipeline}-{self._number}.log"
        build = Build(pipeline=PipelineId(pipeline), name="web", number=self._number, source=source, log_path=str(log))
        self.send(build)
        return log

    def answer(self, timeout_s: float = ANSWER_S) -> Wire:
        """Return the next answer."""
        readable, _, _ = select.select([self.sock], [], [], timeout_s)
        if not readable:
            raise TimeoutError(f"no answer from the build host within {timeout_s:g} s")
        frame = recv_frame(self.sock)
        assert frame is not None, "the build host has ended"
        return self._codec.decode(frame)

    def build(self, source: Source) -> PluginRecord:
        """Build; the build has to be good."""
        log = self.begin(source)
        answer = self.answer()
        assert isinstance(answer, Built), f"{answer}\n{log.read_text()}"
        return answer.plugin

    def fail(self, source: Source) -> tuple[BuildFailed, str]:
        """Build; the build has to fail. Return the answer and the log."""
        log = self.begin(source)
        answer = self.answer()
        assert isinstance(answer, BuildFailed), answer
        return answer, log.read_text()


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str], tag: str = "py3-none-any") -> Path:
    """Write a wheel by hand, without a build backend. A key of `files` that begins with `/` is in its dist-info."""
    info = f"{name}-{version}.dist-info"
    content = {(f"{info}{path}" if path.startswith("/") else path): text for path, text in files.items()}
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel
