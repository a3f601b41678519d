"""Plugins that are executed: the handshake, Describe, and an end that leaves nothing."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cicd.plugins.handshake import PluginError
from cicd.plugins.host import PluginCommand, PluginProcess, launch
from cicd.plugins.python_runtime import python_command
from cicd.testing.plugin_folder import make_plugin
from cicd.testing.waiting import wait_until

pytestmark = pytest.mark.e2e

GOOD = """
import os, subprocess, sys
import cicd_sdk as ci
print("loading")
pipeline = ci.Pipeline("web", description="about")
pipeline.param("env", default="dev")
@pipeline.job
def test(ctx): pass
"""


@pytest.fixture
def folder():
    folder = Path(tempfile.mkdtemp(prefix="h"))
    yield folder
    shutil.rmtree(folder)


def with_plugin(
    command: PluginCommand,
    folder: Path,
    use: Callable[[PluginProcess], Awaitable[None]] | None = None,
    *,
    start_timeout_s: float = 20.0,
) -> bytes:
    """Launch, use, close; return what the plugin printed."""
    output: list[bytes] = []
    sockets = folder / "s"
    sockets.mkdir(mode=0o700, exist_ok=True)

    async def run() -> None:
        plugin = await launch(command, socket_dir=sockets, start_timeout_s=start_timeout_s, output=output.append)
        try:
            if use is not None:
                await use(plugin)
        finally:
            await plugin.close()
            await plugin.close()

    asyncio.run(run())
    return b"".join(output)


def script(folder: Path, code: str) -> PluginCommand:
    return PluginCommand(argv=(sys.executable, "-I", "-S", "-c", code), env={"PATH": "/bin"}, cwd=folder)


def test_describe(folder, jobhost_things):
    plugin = make_plugin(folder / "p", GOOD, jobhost_things / "sdk")

    async def use(process: PluginProcess) -> None:
        description = await process.describe(20)
        assert (description.name, description.description) == ("web", "about")
        assert [job.name for job in description.jobs] == ["test"]
        assert [param.name for param in description.params] == ["env"]

    assert with_plugin(python_command(plugin), folder, use) == b"loading\n"
    assert not list(plugin.rglob("__pycache__/pipeline*"))


def test_what_the_pipeline_raises_is_told(folder, jobhost_things):
    plugin = make_plugin(folder / "p", "import no_such_module\n", jobhost_things / "sdk")

    async def use(process: PluginProcess) -> None:
        with pytest.raises(PluginError, match="no_such_module"):
            await process.describe(20)

    with_plugin(python_command(plugin), folder, use)


def test_a_program_that_ends_is_diagnosed(folder):
    code = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    with pytest.raises(PluginError) as caught:
        with_plugin(script(folder, code), folder)
    assert "exit code 3" in str(caught.value)
    assert "two" in caught.value.diagnosis


def test_a_program_that_says_nothing_is_given_up(folder):
    with pytest.raises(PluginError, match=r"no handshake within 0\.3 s"):
        with_plugin(script(folder, "import time; time.sleep(600)"), folder, start_timeout_s=0.3)


def test_a_program_that_cannot_be_found(folder):
    command = PluginCommand(argv=("no-such-program",), env={"PATH": "/bin"}, cwd=folder)
    with pytest.raises(PluginError, match="did not start"):
        with_plugin(command, folder)


def test_an_address_of_someone_else_is_refused(folder):
    code = """
import os, socket, subprocess, sys, time
path = os.environ["PLUGIN_UNIX_SOCKET_DIR"] + "/s"
if len(sys.argv) == 1 and os.fork() == 0:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    os.write(1, ("1|1|unix|%s|grpc|\\n" % path).encode())
time.sleep(600)
"""

    async def use(process: PluginProcess) -> None:
        with pytest.raises(PluginError, match="not the plugin"):
            await process.describe(5)

    with_plugin(script(folder, code), folder, use)


def test_the_whole_tree_is_ended(folder):
    code = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        open(sys.argv[0] + "pid-%d" % os.getpid(), "w").close()
        time.sleep(600)
time.sleep(600)
"""
    with pytest.raises(PluginError):
        with_plugin(script(folder, code.replace("sys.argv[0]", repr(f"{folder}/"))), folder, start_timeout_s=1.0)
    pids = [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]
    assert len(pids) == 2
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 5)


def test_the_environment_is_what_the_command_says(folder, jobhost_things):
    code = GOOD + "print(sorted(name for name in os.environ if not name.startswith('LC_')))\n"
    plugin = make_plugin(folder / "p", code, jobhost_things / "sdk")
    command = python_command(plugin)

    async def use(process: PluginProcess) -> None:
        await process.describe(20)

    os.environ["HOST_SECRET"] = "x"
    try:
        printed = with_plugin(command, folder, use)
    finally:
        del os.environ["HOST_SECRET"]
    assert b"HOST_SECRET" not in printed
    assert b"'CI'" in printed


def test_a_socket_folder_with_a_long_path_is_refused(folder):
    with pytest.raises(PluginError, match="90 bytes"):
        asyncio.run(
            launch(
                script(folder, "pass"),
                socket_dir=Path("/tmp/" + "x" * 100),
                start_timeout_s=1,
                output=lambda _data: None,
            )
        )
