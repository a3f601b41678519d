"""Helpers: plugins as real processes, and the official stubs to talk to them."""

import asyncio
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib.client import Channel
from grpclib.exceptions import StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub

from cicd.plugins.pb import goplugin, pipeline_grpc
from cicd.plugins.pb import pipeline_pb2 as pb
from cicd_sdk._handshake import COOKIE, COOKIE_KEY

DEADLINE_S = 30

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture
def alive():
    """Tell whether a process lives; a zombie does not."""

    def check(pid):
        try:
            return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    return check


class Plugin:
    """A served pipeline: its process and a client."""

    def __init__(self, process, folder):
        self.process = process
        self.folder = folder
        self.line = self.path = ""
        self._channels = []

    def shake_hands(self):
        assert select.select([self.process.stdout], [], [], DEADLINE_S)[0], "no handshake"
        line = b""
        while not line.endswith(b"\n") and (byte := self.process.stdout.read(1)):
            line += byte
        if not line.startswith(b"1|1|unix|"):
            self.process.kill()
            raise AssertionError(line + self.process.stdout.read())
        self.line = line.decode()
        self.path = self.line.split("|")[3]

    def channel(self):
        channel = Channel(path=self.path)
        self._channels.append(channel)
        return channel

    def stub(self):
        return pipeline_grpc.PipelineStub(self.channel())

    def run(self, client):
        """Run an async client function with a stub, within the deadline; close its connections."""

        async def main():
            try:
                return await asyncio.wait_for(client(self.stub()), DEADLINE_S)
            finally:
                for channel in self._channels:
                    channel.close()
                self._channels.clear()

        return asyncio.run(main())

    async def job(self, stub, **request):
        """Run a job and return its events."""
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(**request), end=True)
            return [event async for event in stream]

    def result(self, **request):
        """Run a job and return its result."""
        events = self.run(lambda stub: self.job(stub, **request))
        assert [event.WhichOneof("event") for event in events].count("result") == 1
        assert events[-1].WhichOneof("event") == "result"
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return events[-1].result

    def health(self, service="plugin"):
        from grpclib.health.v1.health_pb2 import HealthCheckRequest

        async def client(_):
            return await HealthStub(self.channel()).Check(HealthCheckRequest(service=service))

        return self.run(client)

    def shut_down(self):
        """Ask it to end, as go-plugin hosts do; return its exit code."""

        async def client(_):
            # A plugin whose job is over and whose host has gone ends by itself.
            with contextlib.suppress(OSError, StreamTerminatedError):
                await goplugin.GRPCControllerStub(self.channel()).Shutdown(Empty())

        self.run(client)
        return self.process.wait(DEADLINE_S)

    def output(self):
        """Return what it has written, after its end."""
        return self.process.stdout.read()


@pytest.fixture
def start_plugin(tmp_path):
    """Start pipelines as plugins; returns a function of their source."""
    plugins = []
    folders = []

    def start(source, *, forked=False, preload=False, name="pipeline.py", env=None, stderr=subprocess.STDOUT):
        entry = tmp_path / name
        if source is not None:
            entry.write_text(textwrap.dedent(source))
        folder = tempfile.mkdtemp(prefix="cs-")  # short: a socket's path has a limit
        folders.append(folder)
        program = [sys.executable, str(entry)]
        environment = {**ENVIRONMENT, COOKIE_KEY: COOKIE, "PLUGIN_UNIX_SOCKET_DIR": folder, **(env or {})}
        if forked:
            program = [sys.executable, str(Path(__file__).parent / "zygote_program.py"), str(entry), folder]
            program += ["preload"] if preload else []
            environment = {**ENVIRONMENT, **(env or {})}
        process = subprocess.Popen(
            program,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        plugin = Plugin(process, folder)
        plugins.append(plugin)
        plugin.shake_hands()
        return plugin

    yield start
    for plugin in plugins:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(plugin.process.pid, signal.SIGKILL)
        plugin.process.wait(DEADLINE_S)
        plugin.process.stdout.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def by_hand(tmp_path):
    """Run a pipeline's program by hand; returns a function of its source and arguments."""

    def run(source, *argv, cwd=None, env=None):
        entry = tmp_path / "pipeline.py"
        entry.write_text(
            "import cicd_sdk as ci\n" + textwrap.dedent(source) + "\nif __name__ == '__main__':\n    pipeline.main()\n"
        )
        return subprocess.run(
            [sys.executable, str(entry), *argv],
            capture_output=True, text=True, check=False, timeout=60, cwd=cwd or tmp_path,
            env={**ENVIRONMENT, **(env or {})},
        )  # fmt: skip

    return run
