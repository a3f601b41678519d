"""What a jobhost keeps of a job's output: masked before it touches the disk, and limited."""

import pytest

from cicd.messages.run import Status
from cicd.testing.waiting import wait_until

pytestmark = pytest.mark.e2e


def test_no_secret_reaches_the_spool_or_the_result(lab):
    file = lab.folder / "token"
    file.write_text("from-a-file\n")
    lab.start(logs=f'mask_files = ["{file}"]')
    result, log = lab.run("leaky", secrets={"TOKEN": "t0ken+Value"}, params={"who": "from-a-file"})
    assert result.status is Status.SUCCEEDED, log
    lines = log.splitlines()[1:]
    assert lines[1:6:2] == ["***"] * 3, log
    assert [line.split()[:2] for line in lines[0:6:2]] == [["***", "***"]] * 3, log
    assert [line.split()[2][:6] for line in lines[0:6:2]] == ["dXNlcj"] * 3, log
    assert "[info] logged ***" in lines
    wait_until(lambda: not list(lab.data.glob("work/*")) and not list(lab.data.glob("work.old-*")), 20)
    everything = b"".join(
        path.read_bytes() for path in lab.data.rglob("*") if path.is_file() and "journal" not in path.name
    )
    for value in (b"told later", b"t0ken+Value", b"from-a-file", b"t0ken+Value".hex().encode()):
        assert value not in everything
    assert "fewer than 4 characters" in log
    assert "the output 'token' holds a masked value" in log
    assert result.outputs == {"token": "t0ken+Value"}, "an output is data for other jobs"


def test_messages_and_tracebacks_are_masked(lab):
    lab.start()
    result, _log = lab.run("leaky", secrets={"TOKEN": "t0ken+Value"}, params={"who": "fails"})
    assert result.message == "ValueError: no ***"
    assert "t0ken" not in result.traceback
    assert "ValueError: no ***" in result.traceback
    assert "t0ken" not in lab.stderr


def test_a_secret_that_the_limit_of_messages_would_cut_is_masked_first(lab):
    lab.start()
    result, _log = lab.run("leaky", secrets={"TOKEN": "t0ken+Value"}, params={"who": "fails at length"})
    assert len(result.message) > 1900
    assert "t0k" not in result.message
    assert "***" in result.message


def test_a_log_has_a_limit_says_so_and_the_job_goes_on(lab):
    lab.start(logs="limit_bytes = 10000")
    result, log = lab.run("floods")
    assert (result.status, result.outputs) == (Status.SUCCEEDED, {"done": "true"})
    *lines, notice, last = log.splitlines()
    assert lines[1:] == [f"line {number}" for number in range(len(lines) - 1)]
    assert notice == "[warning] cicd: the log has reached logs.limit_bytes (10000): what follows is dropped"
    whole = len("imported\n") + sum(len(f"line {number}\n") for number in range(20000))
    kept = sum(len(line) + 1 for line in lines)
    assert last == f"[warning] cicd: {whole - kept} bytes of output were dropped beyond the limit of 10000"
    assert kept <= 10000


def test_a_mask_file_that_is_not_there_is_a_clear_refusal(lab):
    config = lab.folder / "minion.toml"
    config.write_text(
        f'[minion]\nname = "m"\ndata_dir = "{lab.data}"\n[master]\ntoken = "t"\n'
        f'[logs]\nmask_files = ["{lab.folder}/no"]\n'
    )
    lab.spawn(config, {})
    assert lab.process.wait(20) == 4
    assert f"logs.mask_files: {lab.folder}/no: No such file or directory" in lab.stderr
