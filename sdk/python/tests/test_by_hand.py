"""`python pipeline.py`: the whole pipeline, right here, in real processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from cicd.testing.waiting import wait_until

GRAPH = """
pipeline = ci.Pipeline("web", description="the web app")
pipeline.param("who", default="world")
pipeline.param("count", type=int, default=1)

@pipeline.job
def test(ctx):
    "Runs the tests."
    ctx.run("echo", "testing", ctx.params["who"])
    print("pid", __import__("os").getpid())
    return {"version": "1.2", "fine": True, "n": ctx.params["count"] + 1}

@pipeline.job(needs=[test])
def wheel(ctx):
    print("got", ctx.needs["test"])

@pipeline.job(needs=[test])
def lint(ctx):
    with ctx.group("style"):
        ctx.log("all fine", files=3)
    ctx.log("hm", level="warning")
"""


def lines(done, job):
    found = (line.partition("|") for line in done.stdout.splitlines())
    return [text[1:] for name, _, text in found if name.strip() == job]


def test_a_whole_run(by_hand):
    done = by_hand(GRAPH, "-p", "who=me", "--param", "count=4")
    assert done.returncode == 0, done
    assert lines(done, "test")[0] == "testing me"
    assert lines(done, "wheel") == ["got {'version': '1.2', 'fine': 'true', 'n': '5'}", "ok"]
    assert lines(done, "lint") == ["style:", "all fine files=3", "warning: hm", "ok"]
    assert done.stderr == ""


def test_every_job_has_a_process_of_its_own(by_hand):
    done = by_hand(GRAPH.replace('print("got"', "print('pid', __import__('os').getpid()); print(\"got\""))
    assert lines(done, "test")[1] != lines(done, "wheel")[0]


def test_one_job_brings_what_it_needs(by_hand):
    done = by_hand(GRAPH, "--job", "wheel")
    assert done.returncode == 0
    assert lines(done, "test")
    assert not lines(done, "lint")


def test_list_and_describe(by_hand):
    listed = by_hand(GRAPH, "--list").stdout
    assert "test   Runs the tests." in listed
    assert "wheel  needs test" in listed
    assert "who  (str; default 'world')" in listed
    told = json.loads(by_hand(GRAPH, "--describe").stdout)
    assert [job["name"] for job in told["jobs"]] == ["test", "wheel", "lint"]
    assert told["jobs"][1]["needs"] == [{"job": "test", "on": "SUCCESS"}]
    assert "usage" in by_hand(GRAPH, "--help").stdout


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--job", "nope"], "there is no job 'nope'; there are: test, wheel, lint"),
        (["-p", "count=x"], "'x' is no int"),
        (["-p", "nope=1"], "there is no param 'nope' (there are: who, count)"),
        (["-p", "who"], "write -p NAME=VALUE"),
        (["--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["--parallel", "0"], "no number from 1"),
    ],
)
def test_a_mistake_is_one_line(by_hand, argv, told):
    done = by_hand(GRAPH, *argv)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_wrong_graph_is_one_line(by_hand):
    done = by_hand("pipeline = ci.Pipeline('x')\npipeline.job(name='a', needs=['b'])(lambda: None)")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "needs 'b'" in done.stderr


FAILING = """
import os, sys
pipeline = ci.Pipeline("web")

@pipeline.job
def broken(ctx):
    def inner():
        raise ValueError("no luck")
    inner()

@pipeline.job(needs=[broken])
def later(): pass

@pipeline.job(needs=[ci.on_failure(broken)])
def alarm(): print("alarm!")

@pipeline.job(needs=[ci.on_any("later")])
def always(): print("cleaning")

@pipeline.job
def independent(): print("alone")

@pipeline.job(needs=[ci.on_failure(independent)])
def unneeded(): pass
"""


def test_a_failure_skips_what_needs_it_and_nothing_else(by_hand):
    done = by_hand(FAILING)
    assert done.returncode == 1
    assert lines(done, "broken")[-2:] == ["ValueError: no luck", "failed"]
    assert lines(done, "later") == ["skipped"]
    assert lines(done, "alarm") == ["alarm!", "ok"]
    assert lines(done, "always") == ["cleaning", "ok"]
    assert lines(done, "independent") == ["alone", "ok"]
    assert lines(done, "unneeded") == ["skipped"]


def test_the_traceback_is_the_users(by_hand):
    told = lines(by_hand(FAILING), "broken")
    assert told[0] == "Traceback (most recent call last):"
    assert sum("pipeline.py" in line for line in told) == 2
    assert not any("cicd_sdk" in line for line in told)


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("sys.exit(0)", 0, "ok"),
        ("sys.exit()", 0, "ok"),
        ("sys.exit(3)", 1, "exited with code 3"),
        ("sys.exit('no way')", 1, "no way"),
        ("os.kill(os.getpid(), 9)", 1, "was killed by SIGKILL before its end"),
        ("os._exit(0)", 1, "ended with exit code 0 before its end"),
        ("return 3", 1, "has to return None or a dict of outputs, not int"),
        ("return {'x': [1]}", 1, "output 'x': [1] is no str, int, float or bool, but list"),
        ("ctx.run('sh', '-c', 'exit 7')", 1, "exited with code 7"),
        ("ctx.run('no-such-program')", 1, "no-such-program was not found"),
        ("ctx.run('pwd', cwd='nope')", 1, "there is no such folder"),
        ("ctx.run('sleep', '60', timeout=0.2)", 1, "sleep 60 did not end within 0.2 s"),
        ("ctx.run('sh', '-c', \"trap '' TERM; sleep 60; sleep 60\", timeout=0.2)", 1, "did not end within 0.2 s"),
        ("ctx.run('sh', '-c', 'kill -9 $$')", 1, "was killed by SIGKILL"),
    ],
)
def test_how_a_job_ends(by_hand, body, code, told):
    done = by_hand(f"import os, sys\npipeline = ci.Pipeline('x')\n@pipeline.job\ndef a(ctx):\n    {body}")
    assert done.returncode == code, done
    assert told in done.stdout


def test_a_failure_that_is_allowed(by_hand):
    done = by_hand("""
    pipeline = ci.Pipeline("x")
    @pipeline.job(allow_failure=True)
    def a(): 1 / 0
    @pipeline.job(needs=[a])
    def b(): print("on")
    """)
    assert done.returncode == 0
    assert lines(done, "b") == ["on", "ok"]
    assert lines(done, "a")[-1] == "failed (allowed)"


def test_a_failing_job_is_tried_again(by_hand, tmp_path):
    done = by_hand("""
    import pathlib
    pipeline = ci.Pipeline("x")
    @pipeline.job(retry=ci.Retry(3, backoff="50ms"))
    def a(ctx):
        print("attempt", ctx.attempt)
        if ctx.attempt < 3:
            raise OSError("flaky")
    """)
    assert done.returncode == 0
    assert [line for line in lines(done, "a") if line.startswith("attempt")] == [
        "attempt 1", "attempt 1 failed; trying again", "attempt 2", "attempt 2 failed; trying again", "attempt 3"
    ]  # fmt: skip


def test_a_run_over_its_limit_is_ended(by_hand, tmp_path, alive):
    done = by_hand(f"""
    pipeline = ci.Pipeline("x", run_timeout="500ms")
    @pipeline.job(retry=3)
    def a(ctx):
        ctx.run("sh", "-c", "echo $$ > {tmp_path}/pid; sleep 300")
    @pipeline.job(needs=[ci.on_any(a)])
    def b(): print("not run")
    """)
    assert done.returncode == 1
    assert lines(done, "a")[-1] == "cancelled"
    assert lines(done, "b") == ["skipped"]
    assert "the run took longer than its limit of 0.5 s" in done.stdout
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_retry_only_on_what_it_names(by_hand):
    done = by_hand("pipeline = ci.Pipeline('x')\n@pipeline.job(retry=ci.Retry(3, on=['timeout']))\ndef a(): 1 / 0")
    assert done.returncode == 1
    assert "trying again" not in done.stdout


def test_a_job_over_its_timeout_is_stopped_with_all_that_it_started(by_hand, tmp_path, alive):
    done = by_hand(f"""
    pipeline = ci.Pipeline("x")
    @pipeline.job(timeout="300ms")
    def a(ctx):
        ctx.run("sh", "-c", "sleep 300 & echo $! > {tmp_path}/child; setsid sleep 300 & echo $! > {tmp_path}/far; wait")
    """)
    assert done.returncode == 1
    assert "timed out after 0.3 s" in done.stdout
    for name in ("child", "far"):
        assert not alive(int((tmp_path / name).read_text()))


def test_what_a_job_leaves_running_is_killed(by_hand, tmp_path, alive):
    done = by_hand(f"""
    import subprocess
    pipeline = ci.Pipeline("x")
    @pipeline.job
    def a(ctx):
        ctx.run("sh", "-c", "sleep 300 & echo $! > {tmp_path}/child")
        subprocess.Popen(["sh", "-c", "echo $$ > {tmp_path}/far; exec sleep 300"], start_new_session=True)
        while not __import__("os").path.exists("{tmp_path}/far"): pass
    """)
    assert done.returncode == 0
    for name in ("child", "far"):
        assert not alive(int((tmp_path / name).read_text()))


def test_what_a_job_leaves_running_is_gone_before_the_next_begins(by_hand):
    done = by_hand("""
    import pathlib
    pipeline = ci.Pipeline("x")
    @pipeline.job
    def a(ctx):
        ctx.run("sh", "-c", "sleep 300 & echo $! > child", cwd=ctx.workspace)
    @pipeline.job(needs=[a])
    def b():
        stat = pathlib.Path("/proc", pathlib.Path("child").read_text().strip(), "stat")
        print(stat.read_text().rpartition(")")[2].split()[0] if stat.exists() else "Z")
    """)
    assert lines(done, "b") == ["Z", "ok"]  # dead; the zombie waits for the end of the run


INTERRUPTED = """
import cicd_sdk as ci, os, pathlib, time
pipeline = ci.Pipeline("x")
here = pathlib.Path({folder!r})

@pipeline.job
def python():
    try:
        (here / "python").write_text(str(os.getpid()))
        time.sleep(300)
    except Exception:
        print("swallowed")
    finally:
        print("cleaned up")

@pipeline.job
def command(ctx):
    ctx.run("sh", "-c", "trap '' TERM; echo $$ > {folder}/command; sleep 300; sleep 300")

@pipeline.job(needs=[python])
def later(): pass

pipeline.main()
"""


@pytest.fixture
def interrupted(tmp_path):
    entry = tmp_path / "pipeline.py"
    entry.write_text(INTERRUPTED.format(folder=str(tmp_path)))
    process = subprocess.Popen([sys.executable, str(entry), "--parallel", "2"], stdout=subprocess.PIPE, text=True)
    try:
        yield (
            process,
            [
                wait_until(
                    lambda name=name: (tmp_path / name).exists() and (tmp_path / name).read_text().strip(), what=name
                )
                for name in ("python", "command")
            ],
        )
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_ctrl_c_stops_everything(interrupted, alive):
    process, pids = interrupted
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cleaned up" in out
    assert "swallowed" not in out
    assert "later   | skipped" in out
    assert not any(alive(int(pid)) for pid in pids)


def test_a_second_ctrl_c_kills(interrupted, alive):
    process, pids = interrupted
    process.send_signal(signal.SIGINT)
    select_line = process.stdout.readline()  # the Python job's, so the first has been handled
    assert select_line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=3)  # less than the grace
    assert process.returncode == 130
    assert not any(alive(int(pid)) for pid in pids)


def test_a_killed_program_leaves_no_job(interrupted, alive):
    process, pids = interrupted
    process.kill()
    process.wait()
    wait_until(lambda: not any(alive(int(pid)) for pid in pids), what="the end of the jobs")


def test_the_workspace_is_the_repository_of_the_program(by_hand, tmp_path):
    repository = tmp_path
    for command in (
        ["init", "-q", "-b", "main"],
        ["-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "m"],
    ):
        subprocess.run(["git", *command], cwd=repository, check=True)
    (repository / "sub").mkdir()
    done = by_hand(
        """
    pipeline = ci.Pipeline("x")
    @pipeline.job
    def tree(ctx):
        print(ctx.workspace, ctx.git.ref, len(ctx.git.commit))
        ctx.run("pwd")
    @pipeline.job(checkout=False)
    def empty(ctx):
        import os, tempfile
        print(os.listdir(), tempfile.gettempdir() == str(ctx.temp_dir))
    """,
        cwd=repository / "sub",
    )
    assert lines(done, "tree")[:2] == [f"{repository} main 40", str(repository)]
    assert lines(done, "empty")[0] == "[] True"


def test_commands(by_hand):
    done = by_hand("""
    pipeline = ci.Pipeline("x")
    @pipeline.job
    def a(ctx):
        print(repr(ctx.run("cat", input="fed", capture=True).stdout))
        print(ctx.run("sh", "-c", "exit 3", check=False).returncode)
        print(ctx.run("sh", "-c", "echo $X $HOME", env={"X": "x"}, capture=True).stdout.split()[0])
        print(repr(ctx.run("cat", capture=True).stdout))
        try:
            ctx.run("sh", "-c", "echo part; exit 4", capture=True)
        except ci.CommandError as error:
            print(error.returncode, error.exit_code, error.stdout.strip(), error)
        try:
            ctx.run("sleep", "9", timeout="100ms")
        except ci.CommandTimeoutError as error:
            print(error.exit_code)
    """)
    assert lines(done, "a")[:-1] == [
        "'fed'", "3", "x", "''", "4 4 part sh -c 'echo part; exit 4' exited with code 4", str(128 + signal.SIGTERM)
    ]  # fmt: skip


def test_secrets_come_from_the_environment(by_hand):
    done = by_hand(
        "pipeline = ci.Pipeline('x')\n@pipeline.job(secrets=['TOKEN'])\n"
        "def a(ctx): print(len(ctx.secrets['TOKEN']), ctx.secrets)",
        env={"TOKEN": "hunter2"},
    )
    assert lines(done, "a")[0] == "7 Secrets(TOKEN)"


def test_nobody_reads(tmp_path):
    entry = tmp_path / "pipeline.py"
    entry.write_text(
        textwrap.dedent("""
    import cicd_sdk as ci
    pipeline = ci.Pipeline("x")
    @pipeline.job
    def a():
        while True: print("x" * 1000)
    pipeline.main()
    """)
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, str(entry)], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.read(reading, 10)
    os.close(reading)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGPIPE
    assert b"Traceback" not in told
