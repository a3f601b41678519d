"""A served pipeline, driven over its socket by grpclib and the official messages."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_pb2 import HealthCheckResponse

from cicd.plugins.pb import goplugin
from cicd.plugins.pb import pipeline_pb2 as pb
from cicd.testing.waiting import wait_until
from cicd_sdk._handshake import COOKIE, COOKIE_KEY

WEB = """
import os, sys
import cicd_sdk as ci

pipeline = ci.Pipeline("web", description="the web app")
pipeline.param("count", default=1)

@pipeline.job
def test(ctx):
    print("printed", ctx.params["count"] + 1)
    ctx.run("echo", "from a command")
    print("on stderr", file=sys.stderr)
    with ctx.group("a  title"):
        ctx.log("two\\nlines", files=3)
    ctx.log("careful", level="warning")
    return {"version": "1.2"}

@pipeline.job(needs=[test])
def ship(ctx):
    ctx.output("early", 1)
    return {
        "got": ctx.needs["test"]["version"], "cwd": os.getcwd(), "tmp": os.environ.get("TMPDIR", ""), "run": ctx.run_id,
        "number": ctx.run_number, "attempt": ctx.attempt, "job": ctx.job, "commit": ctx.git.commit,
        "secret": ctx.secrets["TOKEN"], "left": ctx.deadline_s > 5,
        "thread": __import__("threading").current_thread().name,
        "plugin env": ",".join(n for n in os.environ if n.startswith(("PLUGIN_", "CICD_PLUGIN"))),
    }

@pipeline.job
def events(ctx):
    ctx.progress(0.5, "half")
    ctx.annotate("odd", path="a.py", line=3)
    ctx.metric("size", 3, "MB")
    ctx.summary("# fine")
    ctx.log("as an event")
    with ctx.group("g"):
        pass

@pipeline.job
def unfeatured(ctx):
    ctx.artifact("x")

if __name__ == "__main__":
    pipeline.main()
"""


def job_of(body, head=""):
    """A pipeline whose only job, `a`, has this body."""
    body = "\n".join(f"    {line}" for line in body.splitlines())
    return (
        f"import os, sys, time\nimport cicd_sdk as ci\n{head}\npipeline = ci.Pipeline('x')\n"
        f"@pipeline.job\ndef a(ctx):\n{body}\n"
        "if __name__ == '__main__':\n    pipeline.main()\n"
    )


def both(test):
    """Run a test with the program started by the host, and with one forked from a zygote."""
    ways = [{}, {"forked": True}, {"forked": True, "preload": True}]
    return pytest.mark.parametrize("way", ways, ids=["program", "forked", "preloaded"])(test)


@both
def test_the_whole_life_of_a_plugin(start_plugin, way):
    plugin = start_plugin(WEB, **way)
    assert plugin.line == f"1|1|unix|{plugin.path}|grpc|\n"
    assert str(Path(plugin.path).parent) == plugin.folder
    assert stat.S_IMODE(Path(plugin.path).stat().st_mode) == 0o600
    assert plugin.health().status == HealthCheckResponse.SERVING

    async def client(stub):
        told = await stub.Describe(pb.DescribeRequest())
        assert [job.name for job in told.jobs] == ["test", "ship", "events", "unfeatured"]
        events = await plugin.job(stub, job="test", params={"count": "4"}, fence="FENCE")
        assert [event.WhichOneof("event") for event in events] == ["started", "result"]
        assert events[0].time > 1.7e9
        assert events[1].result.status == pb.STATUS_SUCCEEDED
        assert dict(events[1].result.outputs) == {"version": "1.2"}
        assert await stub.Describe(pb.DescribeRequest()) == told
        await goplugin.GRPCControllerStub(plugin.channel()).Shutdown(Empty())

    plugin.run(client)
    assert plugin.process.wait(10) == 0
    assert not Path(plugin.path).exists()
    assert plugin.output().decode() == (
        "printed 5\nfrom a command\non stderr\n\x1eFENCEGa title\n\x1eFENCELinfo two\n\x1eFENCELinfo lines files=3\n"
        "\x1eFENCEg\n\x1eFENCELwarning careful\n\x1eFENCEF\n"
    )


def test_without_a_fence_nothing_is_marked(start_plugin):
    plugin = start_plugin(WEB)
    plugin.result(job="test")
    plugin.shut_down()
    assert plugin.output().decode().endswith("a title:\ntwo\nlines files=3\nwarning: careful\n")


def test_a_line_without_an_end_comes_before_the_fence(start_plugin):
    plugin = start_plugin(job_of("print('tail', end='')"))
    plugin.result(job="a", fence="X")
    plugin.shut_down()
    assert plugin.output() == b"tail\x1eXF\n"


def test_two_pipes_get_a_fence_each(start_plugin):
    plugin = start_plugin(WEB, stderr=subprocess.PIPE)
    plugin.result(job="test", fence="X")
    plugin.shut_down()
    assert plugin.output().endswith(b"\x1eXF\n")
    with plugin.process.stderr as stderr:
        assert stderr.read() == b"on stderr\n\x1eXF\n"


@both
def test_what_a_job_is_given(start_plugin, tmp_path, way):
    plugin = start_plugin(WEB, **way)
    result = plugin.result(
        job="ship", run="r1", run_number=7, attempt=2, workspace=str(tmp_path), temp_dir="/tmp", deadline_s=60,
        needs={"test": pb.Outputs(values={"version": "9"})}, secrets={"TOKEN": "hunter2"}, git=pb.Git(commit="c0ffee"),
    )  # fmt: skip
    assert dict(result.outputs) == {
        "early": "1", "got": "9", "cwd": str(tmp_path), "tmp": "/tmp", "run": "r1", "number": "7", "attempt": "2",
        "job": "ship", "commit": "c0ffee", "secret": "hunter2", "left": "true", "thread": "MainThread",
        "plugin env": "",
    }  # fmt: skip


def test_events_go_to_a_host_that_names_them(start_plugin):
    names = ["progress", "annotations", "metrics", "summary", "log_events"]
    events = start_plugin(WEB).run(lambda stub: job_events(stub, "events", names))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["started", "progress", "annotation", "metric", "summary", "log", "group", "group", "result"]
    assert events[5].log.lines == [b"as an event"]


def test_events_that_the_host_does_not_name_are_left_out(start_plugin):
    events = start_plugin(WEB).run(lambda stub: job_events(stub, "events", []))
    assert [event.WhichOneof("event") for event in events] == ["started", "result"]
    assert events[-1].result.status == pb.STATUS_SUCCEEDED


def test_a_feature_that_is_missing_is_named(start_plugin):
    result = start_plugin(WEB).result(job="unfeatured")
    assert result.status == pb.STATUS_FAILED
    assert "'artifacts'" in result.message


async def job_events(stub, job, features):
    async with stub.RunJob.open() as stream:
        await stream.send_message(pb.RunJobRequest(job=job, features=features), end=True)
        return [event async for event in stream]


@pytest.mark.parametrize(
    ("body", "status", "exit_code", "message"),
    [
        ("raise ValueError('no luck')", pb.STATUS_FAILED, 1, "ValueError: no luck"),
        ("sys.exit(3)", pb.STATUS_FAILED, 3, "exited with code 3"),
        ("sys.exit('why')", pb.STATUS_FAILED, 1, "why"),
        ("sys.exit(0)", pb.STATUS_SUCCEEDED, 0, ""),
        ("ctx.run('sh', '-c', 'exit 5')", pb.STATUS_FAILED, 5, "sh -c 'exit 5' exited with code 5"),
        ("ctx.run('sh', '-c', 'kill -9 $$')", pb.STATUS_FAILED, 137, "sh -c 'kill -9 $$' was killed by SIGKILL"),
        ("ctx.run('no-such-program')", pb.STATUS_FAILED, 127, "no-such-program was not found"),
        ("raise KeyboardInterrupt", pb.STATUS_FAILED, 1, "KeyboardInterrupt"),
        ("raise Exception('x' * 10_000_000)", pb.STATUS_FAILED, 1, None),
        ("sys.stdout = None; os.close(1)", pb.STATUS_SUCCEEDED, 0, ""),
    ],
)
def test_how_a_job_ends(start_plugin, body, status, exit_code, message):
    result = start_plugin(job_of(body)).result(job="a", fence="F")
    assert (result.status, result.exit_code) == (status, exit_code)
    assert result.failure_kind == (pb.FAILURE_KIND_USER if status == pb.STATUS_FAILED else pb.FAILURE_KIND_UNSPECIFIED)
    if message is not None:
        assert result.message == message


def test_a_traceback_has_the_users_frames_only(start_plugin):
    told = start_plugin(job_of("def inner():\n    ctx.run('false')\ninner()")).result(job="a").traceback
    assert told.count("pipeline.py") == 2
    assert "_command.py" not in told
    assert "_outcome.py" not in told
    assert told.endswith("false exited with code 1\n")


def test_the_traceback_of_a_cause_is_trimmed_too(start_plugin):
    body = "try:\n    ctx.run('false')\nexcept Exception as e:\n    raise ValueError('outer') from e"
    told = start_plugin(job_of(body)).result(job="a").traceback
    assert "direct cause" in told
    assert "_command.py" not in told


def test_a_workspace_that_is_missing_is_not_the_users_fault(start_plugin):
    result = start_plugin(WEB).result(job="test", workspace="/nope/nope")
    assert result.failure_kind == pb.FAILURE_KIND_INFRASTRUCTURE
    assert "/nope/nope" in result.message


async def status_of(awaitable):
    with pytest.raises(GRPCError) as raised:
        await awaitable
    return raised.value.status, raised.value.message


def test_requests_that_are_refused(start_plugin):
    plugin = start_plugin(WEB)

    async def client(stub):
        assert await status_of(stub.Cancel(pb.CancelRequest())) == (
            Status.FAILED_PRECONDITION, "no job has been started in this process"
        )  # fmt: skip
        assert (await status_of(stub.Reply(pb.ReplyRequest())))[0] == Status.FAILED_PRECONDITION
        channel = plugin.channel()
        unknown = UnaryUnaryMethod(channel, "/cicd.plugin.v1.Pipeline/Nope", pb.DescribeRequest, pb.Description)
        assert (await status_of(unknown(pb.DescribeRequest())))[0] == Status.UNIMPLEMENTED
        unknown = UnaryUnaryMethod(channel, "/other.Service/Nope", pb.DescribeRequest, pb.Description)
        assert (await status_of(unknown(pb.DescribeRequest())))[0] == Status.UNIMPLEMENTED
        garbage = UnaryUnaryMethod(channel, "/cicd.plugin.v1.Pipeline/Describe", Raw, pb.Description)
        assert (await status_of(garbage(Raw(b"\xff\xff"))))[0] == Status.INTERNAL
        big = pb.RunJobRequest(job="test", params={"x": "y" * (4 * 1024 * 1024)})
        assert (await status_of(plugin.job(stub, job="x", params=big.params)))[0] == Status.RESOURCE_EXHAUSTED
        await stub.Describe(pb.DescribeRequest())  # it goes on
        code, text = await status_of(plugin.job(stub, job="nope"))
        assert (code, text) == (Status.NOT_FOUND, "there is no job 'nope'; there are: test, ship, events, unfeatured")

    plugin.run(client)
    assert plugin.process.poll() is None or plugin.process.returncode == 0


class Raw:
    """Bytes that pass for a message."""

    def __init__(self, data):
        self.data = data

    def SerializeToString(self):  # noqa: N802 - protobuf's name
        return self.data


def test_params_that_do_not_fit_are_refused(start_plugin):
    code, text = start_plugin(WEB).run(
        lambda stub: status_of(stub_job(stub, job="test", params={"count": "many", "x": "1"}))
    )
    assert code == Status.INVALID_ARGUMENT
    assert text == "there is no param 'x' (there are: count); param 'count': 'many' is no int"


async def stub_job(stub, **request):
    async with stub.RunJob.open() as stream:
        await stream.send_message(pb.RunJobRequest(**request), end=True)
        return [event async for event in stream]


def test_a_second_job_is_refused(start_plugin):
    plugin = start_plugin(WEB)

    async def client(stub):
        await plugin.job(stub, job="test")
        assert (await status_of(plugin.job(stub, job="test")))[0] == Status.FAILED_PRECONDITION

    plugin.run(client)


def test_a_request_just_below_the_limit_is_taken(start_plugin):
    plugin = start_plugin(job_of("return {'n': len(ctx.secrets['x'])}"))
    size = 4 * 1024 * 1024 - 100
    assert plugin.result(job="a", secrets={"x": "y" * size}).outputs["n"] == str(size)


def test_health_of_other_services(start_plugin):
    plugin = start_plugin(WEB)
    assert plugin.health("").status == HealthCheckResponse.SERVING
    with pytest.raises(GRPCError) as raised:
        plugin.health("nope")
    assert raised.value.status == Status.NOT_FOUND


def test_the_streams_of_go_plugin_stay_open_until_the_end(start_plugin):
    from grpclib.health.v1.health_grpc import HealthStub
    from grpclib.health.v1.health_pb2 import HealthCheckRequest

    plugin = start_plugin(WEB)

    async def client(stub):
        channel = plugin.channel()
        async with (
            goplugin.GRPCStdioStub(channel).StreamStdio.open() as stdio,
            HealthStub(channel).Watch.open() as watch,
        ):
            await stdio.send_message(Empty(), end=True)
            await stdio.recv_initial_metadata()
            await watch.send_message(HealthCheckRequest(service="plugin"), end=True)
            assert (await watch.recv_message()).status == HealthCheckResponse.SERVING
            await plugin.job(stub, job="test")
            ends = asyncio.gather(stdio.recv_message(), watch.recv_message())
            await goplugin.GRPCControllerStub(channel).Shutdown(Empty())
            assert await ends == [None, None]

    plugin.run(client)
    assert plugin.process.wait(10) == 0


@pytest.mark.parametrize("way", [{}, {"forked": True}])
def test_wrong_declarations_are_told_to_the_host(start_plugin, way):
    source = job_of("pass", head="").replace("@pipeline.job\n", "@pipeline.job(needs=['nope'])\n")

    async def client(stub):
        code, text = await status_of(stub.Describe(pb.DescribeRequest()))
        events = await stub_job(stub, job="a")
        return code, text, events[-1].result

    code, text, result = start_plugin(source, **way).run(client)
    assert code == Status.INVALID_ARGUMENT
    assert text == "job 'a' needs 'nope', which does not exist; there are: a"
    assert (result.status, result.message, result.traceback) == (pb.STATUS_FAILED, text, "")


def test_a_file_that_cannot_be_loaded(start_plugin):
    async def client(stub):
        code, text = await status_of(stub.Describe(pb.DescribeRequest()))
        return code, text, (await stub_job(stub, job="a"))[-1].result

    code, text, result = start_plugin("import nope_nope\n", forked=True).run(client)
    assert code == Status.INTERNAL
    assert "ModuleNotFoundError: No module named 'nope_nope'" in text
    assert result.status == pb.STATUS_FAILED
    assert result.message == "ModuleNotFoundError: No module named 'nope_nope'"
    assert "pipeline.py" in result.traceback
    assert "importlib" not in result.traceback
    assert "_loader" not in result.traceback


def test_a_file_with_a_syntax_error(start_plugin):
    result = start_plugin("def broken(:\n", forked=True).result(job="a")
    assert result.message.startswith("SyntaxError: invalid syntax (pipeline.py, line 1)")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\n", "declares no pipeline"),
        ("import cicd_sdk as ci\na = ci.Pipeline('one')\nb = ci.Pipeline('two')\n", "several pipelines ('one', 'two')"),
    ],
)
def test_a_file_without_one_pipeline(start_plugin, source, told):
    code, text = start_plugin(source, forked=True).run(lambda stub: status_of(stub.Describe(pb.DescribeRequest())))
    assert code == Status.INVALID_ARGUMENT
    assert told in text


def test_of_several_pipelines_the_one_called_pipeline_is_served(start_plugin):
    source = "import cicd_sdk as ci\npipeline = ci.Pipeline('one')\nb = ci.Pipeline('two')\n"
    assert start_plugin(source, forked=True).run(lambda stub: stub.Describe(pb.DescribeRequest())).name == "one"


def test_modules_beside_the_file_are_found(start_plugin, tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 'found'\n")
    plugin = start_plugin("import beside\n" + job_of("return {'x': beside.VALUE, 'name': __name__}"), forked=True)
    assert dict(plugin.result(job="a").outputs) == {"x": "found", "name": "pipeline"}


def start_raw(tmp_path, env, source=WEB):
    entry = tmp_path / "pipeline.py"
    entry.write_text(source)
    return subprocess.run(
        [sys.executable, str(entry), "--list"],
        env={**os.environ, COOKIE_KEY: COOKIE, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_socket_path_that_is_too_long_is_told(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    done = start_raw(tmp_path, {"PLUGIN_UNIX_SOCKET_DIR": str(folder)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "more than 107 bytes" in done.stderr


def test_tls_is_refused_with_a_clear_error(tmp_path):
    done = start_raw(tmp_path, {"PLUGIN_CLIENT_CERT": "-----BEGIN CERTIFICATE-----"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "AutoMTLS" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_cookie_is_a_person(tmp_path):
    assert start_raw(tmp_path, {COOKIE_KEY: "nope"}).stdout.startswith("web: the web app")


def test_what_was_printed_before_comes_after_the_handshake(start_plugin):
    plugin = start_plugin("print('hello')\n" + WEB)
    assert plugin.line.startswith("1|1|unix|")
    plugin.shut_down()
    assert plugin.output() == b"hello\n"


def test_output_streams_while_the_job_runs(start_plugin):
    plugin = start_plugin(
        job_of("print('first')\nwhile not os.path.exists(ctx.params['go']): time.sleep(0.01)").replace(
            "@pipeline.job", "pipeline.param('go')\n@pipeline.job"
        )
    )
    go = Path(plugin.folder, "go")

    async def client(stub):
        async with stub.RunJob.open() as stream:
            await stream.send_message(pb.RunJobRequest(job="a", params={"go": str(go)}), end=True)
            line = await asyncio.get_running_loop().run_in_executor(
                None, lambda: os.read(plugin.process.stdout.fileno(), 100)
            )
            go.touch()  # noqa: ASYNC240 - done at once
            return line, [event async for event in stream][-1].result.status

    assert plugin.run(client) == (b"first\n", pb.STATUS_SUCCEEDED)


def test_a_plugin_whose_host_died_ends(tmp_path, alive):
    entry = tmp_path / "pipeline.py"
    entry.write_text(WEB)
    host = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, {str(entry)!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); os._exit(0)\n"
    )
    env = {**os.environ, COOKIE_KEY: COOKIE, "PLUGIN_UNIX_SOCKET_DIR": str(tmp_path)}
    pid = subprocess.run(
        [sys.executable, "-c", host], env=env, capture_output=True, text=True, check=True, timeout=20
    ).stdout
    wait_until(lambda: not alive(pid), timeout_s=20)


def test_random_numbers_differ_between_children(start_plugin, tmp_path):
    source = "import random\n" + job_of("return {'x': random.random()}")
    seen = {start_plugin(source, forked=True, preload=True).result(job="a").outputs["x"] for _ in range(2)}
    assert len(seen) == 2
