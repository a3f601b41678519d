"""Much data through small windows, in both directions."""

import asyncio
from pathlib import Path

from cicd.plugins.pb import pipeline_pb2 as pb

MUCH = """
import cicd_sdk as ci
pipeline = ci.Pipeline("x")

@pipeline.job
def summaries(ctx):
    for i in range(500):
        ctx.summary(f"{i:05}" + "x" * 100_000)

@pipeline.job
def lines(ctx):
    for i in range(20_000):
        ctx.log(f"{i:06} " + "y" * 90)

@pipeline.job
def prints(ctx):
    for i in range(100_000):
        print(f"{i:06}", "z" * 90)

if __name__ == "__main__":
    pipeline.main()
"""


def test_fifty_megabytes_of_events_through_default_windows(start_plugin):
    async def client(stub):
        seen = size = 0
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="summaries", features=["summary"]), end=True)
            async for event in stream:
                if event.WhichOneof("event") == "summary":
                    assert event.summary.markdown[:5] == f"{seen:05}"
                    seen += 1
                    size += len(event.summary.markdown)
        return seen, size, event.WhichOneof("event")

    assert start_plugin(MUCH).run(client) == (500, 500 * 100_005, "result")


def test_many_small_events(start_plugin):
    async def client(stub):
        lines = []
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="lines", features=["log_events"]), end=True)
            async for event in stream:
                lines += event.log.lines
        return lines, event.result.status

    lines, status = start_plugin(MUCH).run(client)
    assert status == pb.STATUS_SUCCEEDED
    assert [int(line[:6]) for line in lines] == list(range(20_000))


def test_a_slow_client_holds_the_job_and_not_its_memory(start_plugin):
    """The client reads one event in a while; the job cannot run ahead of it by more than the buffers."""
    plugin = start_plugin(MUCH)

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="summaries", features=["summary"]), end=True)
            for _ in range(20):
                await stream.recv_message()
                await stub.Describe(pb.DescribeRequest())  # other calls go on
            status = Path(f"/proc/{plugin.process.pid}/status").read_text()  # noqa: ASYNC240 - at once
            await stream.cancel()
        return int(status.partition("VmHWM:")[2].split()[0])

    assert plugin.run(client) < 80_000  # kilobytes; fifty megabytes of events would not fit


def test_a_lot_of_output_and_its_end(start_plugin):
    plugin = start_plugin(MUCH)

    async def client(stub):
        loop = asyncio.get_running_loop()
        read = loop.run_in_executor(None, plugin.process.stdout.readall)
        events = await plugin.job(stub, job="prints", fence="F")
        return events[-1].result.status, read

    async def main():
        stub = plugin.stub()
        status, read = await client(stub)
        for channel in plugin._channels:
            channel.close()
        return status, await asyncio.wait_for(read, 30)

    status, output = asyncio.run(main())
    assert status == pb.STATUS_SUCCEEDED
    *lines, fence = output.splitlines()
    assert fence == b"\x1eFF"
    assert [int(line[:6]) for line in lines] == list(range(100_000))


def test_several_connections_at_once(start_plugin):
    plugin = start_plugin(MUCH)

    async def client(stub):
        stubs = [plugin.stub() for _ in range(8)]
        told = await asyncio.gather(*(s.Describe(pb.DescribeRequest()) for s in stubs for _ in range(5)))
        return {description.name for description in told}

    assert plugin.run(client) == {"x"}
