"""A process's output is read to its end, also when the process is gone before the loop has looked."""

import asyncio
import os

from cicd.plugins.output_pipe import OutputPipe


def test_what_is_left_in_the_pipe_is_taken_at_the_end():
    taken: list[bytes] = []

    async def run() -> None:
        pipe = OutputPipe()
        pipe.set_feed(taken.append)
        os.write(pipe.write_fd, b"x" * 60_000)
        pipe.release_write_end()
        pipe.finish()
        pipe.finish()
        assert pipe.ended.done()

    asyncio.run(run())
    assert b"".join(taken) == b"x" * 60_000


def test_the_end_comes_when_the_last_writer_is_gone():
    async def run() -> None:
        pipe = OutputPipe()
        pipe.set_feed(lambda _data: None)
        os.write(pipe.write_fd, b"x")
        await asyncio.sleep(0)
        assert not pipe.ended.done()
        pipe.release_write_end()
        await asyncio.wait_for(pipe.ended, 5)

    asyncio.run(run())
