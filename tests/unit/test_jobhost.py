"""What only a clock in the test's hands can show of the jobhost."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from cicd.messages.base import JobId
from cicd.messages.jobhost import Grant, LogState
from cicd.messages.run import Result, Status
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.host_settings import HostSettings
from cicd.plugins.jobhost import JobHost
from cicd.testing.fake_clock import FakeClock

KEY = (JobId("r-0"), 1)


class EndedAttempt:
    """An attempt whose processes have just ended."""

    async def run(self) -> tuple[Result, LogState]:
        state = LogState(job=KEY[0], attempt=1, path="/nowhere", size_bytes=0, closed=True)
        return Result(status=Status.SUCCEEDED, outputs={"a": "1"}), state


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="d"))
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(("passed_s", "status"), [(9.0, Status.SUCCEEDED), (10.0, Status.LOST)])
def test_the_deadline_is_looked_at_again_before_a_result_is_noted(folder, passed_s, status):
    # Far ahead of the machine's boot clock, so that the lease's own timer does not fire.
    clock = FakeClock(boot_s=1e9)

    async def run() -> Result:
        data = DataFolder(folder, os.environ)
        host = JobHost(data, HostSettings(slots=1, agent_command=("false",), agent_env={}), {}, clock)
        host._hear(Grant(session=1, deadline_boot_s=1e9 + 10))
        host._ledger.begin(KEY, 1).close()
        host._running[KEY] = (EndedAttempt(), None)
        clock.advance(passed_s)
        await host._run(KEY, EndedAttempt())
        (entries, _left_out) = host._ledger.entries()
        host._lease.close()
        host._ledger.close()
        data.close()
        return entries[0].result

    result = asyncio.run(run())
    assert result.status is status
    assert bool(result.outputs) == (status is Status.SUCCEEDED)
