"""A job is told to stop: by Cancel, by a client that goes away, by a deadline, by Shutdown."""

import asyncio
import contextlib
import functools
import signal

import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from cicd.plugins.pb import goplugin
from cicd.plugins.pb import pipeline_pb2 as pb
from cicd.testing.waiting import wait_until

COMMAND = "ctx.run('sh', '-c', %r, env={'D': ctx.params['dir']})"
HEAD = """
import os, subprocess, sys, threading, time
import cicd_sdk as ci
pipeline = ci.Pipeline("x")
pipeline.param("dir")

def note(ctx, name, text=""):
    with open(os.path.join(ctx.params["dir"], name + ".new"), "w") as file:
        file.write(str(text))
    os.rename(file.name, file.name[:-4])

@pipeline.job
def a(ctx):
    note(ctx, "ready", os.getpid())
"""


def pipeline_of(body):
    return (
        HEAD
        + "\n".join(f"    {line}" for line in body.splitlines())
        + "\nif __name__ == '__main__':\n    pipeline.main()\n"
    )


async def there(path):
    await asyncio.get_running_loop().run_in_executor(None, lambda: wait_until(path.exists, what=str(path)))


@pytest.fixture(name="start_plugin")
def start_untraced(start_plugin):
    """Start plugins whose coverage nobody measures.

    `Cancelled` comes out of a signal's handler: raised inside coverage's own code, while that holds its lock, it would
    leave it locked for ever.
    """
    return functools.partial(start_plugin, env={"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""})


@pytest.fixture
def cancelled(start_plugin, tmp_path):
    """Run a job, cancel it when it is ready, return its result."""

    def run(body, grace_s=5.0, name="ready"):
        plugin = start_plugin(pipeline_of(body))

        async def client(stub):
            async with stub.RunJob.open() as stream:
                await stream.send_message(
                    pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}, features=["cancel", "summary"]), end=True
                )
                assert (await stream.recv_message()).WhichOneof("event") == "started"
                await there(tmp_path / name)
                await stub.Cancel(pb.CancelRequest(grace_s=grace_s, reason="a person said so"))
                events = [event async for event in stream]
            return events[-1].result

        return plugin.run(client)

    return run


@pytest.mark.parametrize(
    "body",
    [
        "time.sleep(300)",
        "subprocess.Popen(['sleep', '300']).wait()",
        "threading.Event().wait()",
        "while True: pass",
        "ctx.run('sleep', '300')",
        "ctx.run('sleep', '300', capture=True)",
        "os.read(os.pipe()[0], 1)",
        "while True: ctx.progress(0.5)",
        "while True: ctx.log('x')",
        "while True: ctx.run('true')",
        "import signal; signal.sigwait([signal.SIGUSR1]) if not signal.pause() else 0",
        "try:\n    time.sleep(300)\nexcept Exception:\n    pass",
        "try:\n    time.sleep(300)\nexcept ci.Cancelled:\n    pass",
        "try:\n    time.sleep(300)\nexcept ci.Cancelled:\n    raise ValueError('other')",
        "import queue; queue.Queue().get()",
    ],
)
def test_a_job_is_interrupted_wherever_it_is(cancelled, body):
    result = cancelled(body)
    assert result.status == pb.STATUS_CANCELLED
    assert result.message == "a person said so"


def test_cleaning_up_runs_undisturbed(cancelled, tmp_path):
    body = """
try:
    time.sleep(300)
finally:
    ctx.run("sh", "-c", "sleep 0.3")
    ctx.log("cleaned")
    time.sleep(0.1)
    note(ctx, "cleaned")
"""
    assert cancelled(body).status == pb.STATUS_CANCELLED
    assert (tmp_path / "cleaned").exists()


def test_a_job_that_looks_ends_in_its_own_way(cancelled, tmp_path):
    body = """
while not ctx.cancelled.wait(60):
    pass
time.sleep(0.3)
note(ctx, "saw")
"""
    assert cancelled(body).status == pb.STATUS_CANCELLED
    assert (tmp_path / "saw").exists()


def test_a_command_is_ended_with_its_group(cancelled, tmp_path, alive):
    body = COMMAND % "sleep 300 & echo $! > $D/new; mv $D/new $D/child; wait"
    assert cancelled(body, name="child").status == pb.STATUS_CANCELLED
    assert not alive((tmp_path / "child").read_text())


def test_a_command_that_ignores_sigterm_is_killed_within_the_grace(cancelled, tmp_path, alive):
    body = COMMAND % "trap '' TERM; echo $$ > $D/new; mv $D/new $D/child; sleep 300; sleep 300"
    assert cancelled(body, grace_s=1, name="child").status == pb.STATUS_CANCELLED
    assert not alive((tmp_path / "child").read_text())


def test_a_command_gets_one_sigterm_and_time_to_end(cancelled, tmp_path):
    body = COMMAND % "trap 'echo x >> $D/terms' TERM; touch $D/child; sleep 0.4 & wait; wait; sleep 0.4; touch $D/ended"
    assert cancelled(body, name="child").status == pb.STATUS_CANCELLED
    assert (tmp_path / "ended").exists()
    assert (tmp_path / "terms").read_text() == "x\n"


def test_a_command_in_another_thread_is_ended_too(cancelled):
    body = """
def work():
    try:
        ctx.run("sh", "-c", "touch $D/child; exec sleep 300", env={"D": ctx.params["dir"]})
    except ci.CommandError as error:
        ended.append(error)
ended = []
thread = threading.Thread(target=work)
thread.start()
try:
    thread.join()
finally:
    thread.join()
    note(ctx, "ended", ended[0])
"""
    assert cancelled(body, name="child").status == pb.STATUS_CANCELLED


def test_a_job_that_waits_for_room_is_interrupted(start_plugin, tmp_path):
    """The client reads nothing, so every buffer is full."""
    plugin = start_plugin(
        pipeline_of("for i in range(10 ** 6):\n    ctx.summary('x' * 100_000)\n    if i == 12: note(ctx, 'full')")
    )

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(
                pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}, features=["summary"]), end=True
            )
            await there(tmp_path / "full")
            await stub.Cancel(pb.CancelRequest(grace_s=5))
            events = [event async for event in stream]
        return events[-1].result, len(events)

    result, events = plugin.run(client)
    assert result.status == pb.STATUS_CANCELLED
    assert events < 60


def test_cancel_after_the_end_is_harmless(start_plugin, tmp_path):
    plugin = start_plugin(pipeline_of("pass"))

    async def client(stub):
        events = await plugin.job(stub, job="a", params={"dir": str(tmp_path)})
        await stub.Cancel(pb.CancelRequest(grace_s=0))
        return events[-1].result.status

    assert plugin.run(client) == pb.STATUS_SUCCEEDED


def test_a_job_that_never_noticed_has_succeeded(start_plugin, tmp_path):
    """Cancelled while it holds a shield to its end: what is done is done."""
    plugin = start_plugin(pipeline_of("ctx._cancellation._shields += 1\nwhile not ctx.cancelled.peek(): pass"))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            await stub.Cancel(pb.CancelRequest(grace_s=9))
            return [event async for event in stream][-1].result.status

    assert plugin.run(client) == pb.STATUS_SUCCEEDED


CLEANS = "try:\n    time.sleep(300)\nfinally:\n    note(ctx, 'cleaned')"


def test_a_client_that_resets_its_call_cancels_the_job(start_plugin, tmp_path):
    plugin = start_plugin(pipeline_of(CLEANS))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            await stream.cancel()
        await there(tmp_path / "cleaned")
        with pytest.raises(GRPCError) as raised:
            await plugin.job(stub, job="a", params={"dir": str(tmp_path)})
        assert raised.value.status == Status.FAILED_PRECONDITION
        await stub.Describe(pb.DescribeRequest())  # the connection lives

    plugin.run(client)
    assert plugin.process.wait(10) == 0


@pytest.mark.parametrize("way", [{}, {"forked": True}])
def test_a_client_that_goes_away_cancels_the_job_and_ends_the_process(start_plugin, tmp_path, way, alive):
    plugin = start_plugin(pipeline_of("ctx.run('sleep', '300')"), **way)

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            for channel in plugin._channels:
                channel.close()

    with contextlib.suppress(Exception):  # whatever grpclib makes of a channel that is closed under it
        plugin.run(client)
    assert plugin.process.wait(10) == 0
    assert not alive((tmp_path / "ready").read_text())


def test_the_deadline_of_the_call_cancels_the_job(start_plugin, tmp_path):
    plugin = start_plugin(pipeline_of(CLEANS))

    async def client(stub):
        with pytest.raises((GRPCError, asyncio.TimeoutError)):  # noqa: PT012 - it may end at any of these
            async with stub.RunJob.open(timeout=0.5) as stream:
                await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
                async for _ in stream:
                    pass
        await there(tmp_path / "cleaned")

    plugin.run(client)


def test_a_shutdown_ends_a_running_job(start_plugin, tmp_path):
    plugin = start_plugin(pipeline_of("ctx.run('sleep', '300')"))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            await goplugin.GRPCControllerStub(plugin.channel()).Shutdown(Empty())
            events = [event async for event in stream]
            return events[-1].result.status

    assert plugin.run(client) == pb.STATUS_CANCELLED
    assert plugin.process.wait(10) == 0


def test_a_job_that_hangs_for_good_does_not_hold_a_shutdown(start_plugin, tmp_path):
    body = "while True:\n    try:\n        time.sleep(300)\n    except BaseException:\n        pass"
    plugin = start_plugin(pipeline_of(body))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            await goplugin.GRPCControllerStub(plugin.channel()).Shutdown(Empty())
            await stream.cancel()

    plugin.run(client)
    assert plugin.process.wait(10) is not None


def test_a_ctrl_c_of_the_terminal_is_left_to_the_host(start_plugin, tmp_path):
    plugin = start_plugin(pipeline_of("while not os.path.exists(ctx.params['dir'] + '/go'): time.sleep(0.01)"))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "ready")
            plugin.process.send_signal(signal.SIGINT)
            (tmp_path / "go").touch()
            return [event async for event in stream][-1].result.status

    assert plugin.run(client) == pb.STATUS_SUCCEEDED


def test_a_process_that_the_job_forks_does_not_hold_the_connection(start_plugin, tmp_path):
    body = "if not os.fork():\n    time.sleep(300)\n    os._exit(0)\nnote(ctx, 'forked')\ntime.sleep(300)"
    plugin = start_plugin(pipeline_of(body))

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"dir": str(tmp_path)}), end=True)
            await there(tmp_path / "forked")
            plugin.process.kill()
            return [event async for event in stream]  # ends, for all that the child lives

    with pytest.raises(Exception, match="Connection lost"):
        plugin.run(client)
