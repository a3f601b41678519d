"""The build host as a master starts it: good and broken pipelines, and nothing left of a build however it ends."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import pytest

from build_support import PIPELINE, Origin, RunningBuildHost
from cicd.messages.base import PipelineId
from cicd.messages.build import BuildFailed, Built, StopBuild
from cicd.messages.pipeline import JobSpec, Source
from cicd.plugins.artifact import sha256_of
from cicd.plugins.build.log_file import BuildLog
from cicd.plugins.build.settings import BuildSettings, HostCredential
from cicd.plugins.framing import recv_frame, send_frame
from cicd.testing.waiting import wait_until

SLOW_PROJECT = """
[project]
name = "web-pipeline"
version = "0"
dependencies = ["slow"]

[tool.uv.sources]
slow = { path = "slow" }
"""

SLOW_PACKAGE = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "slow"
version = "1"
"""

SLOW_BACKEND = """
import os, subprocess, sys, time

def build_wheel(*_):
    # Leaves its session and its process group, as a daemon does.
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    with open(os.environ["MARKS"] + "/new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(os.environ["MARKS"] + "/new", os.environ["MARKS"] + "/pids")
    time.sleep(1000)
"""


def settings_of(tmp_path: Path, **fields: object) -> BuildSettings:
    env = {"UV_OFFLINE": "1", "MARKS": str(tmp_path)}
    return BuildSettings(**({"data_dir": str(tmp_path / "data"), "allow_local": True, "build_env": env} | fields))  # type: ignore[arg-type]


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def slow(origin: Origin) -> Source:
    """A pipeline whose build never ends by itself."""
    (origin.path / ".cicd" / "slow").mkdir(parents=True)
    (origin.path / ".cicd" / "pyproject.toml").write_text(SLOW_PROJECT)
    (origin.path / ".cicd" / "slow" / "backend.py").write_text(SLOW_BACKEND)
    (origin.path / ".cicd" / "slow" / "pyproject.toml").write_text(SLOW_PACKAGE)
    origin.commit(".cicd/pipeline.py", PIPELINE)
    return Source(repository=str(origin.path))


def pids_in(tmp_path: Path, *, alive: bool = True) -> list[int]:
    marks = tmp_path / "pids"
    wait_until(marks.exists, 30, "the slow build to run")
    pids = [int(pid) for pid in marks.read_text().split()]
    marks.unlink()
    assert not alive or all(Path(f"/proc/{pid}").exists() for pid in pids)
    return pids


def gone(pids: list[int]) -> bool:
    """Return whether none of them runs; a zombie is dead."""
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X"):
                return False
        except (FileNotFoundError, ProcessLookupError):
            continue
    return True


def last_line(log: Path) -> str:
    return log.read_text().splitlines()[-1]


def test_a_pipeline_is_built_again_when_there_is_a_new_commit_and_kept_by_digest(
    origin: Origin, tmp_path: Path
) -> None:
    first = origin.commit(".cicd/pipeline.py", PIPELINE)
    source = Source(repository=str(origin.path), ref="main")
    with RunningBuildHost(settings_of(tmp_path)) as host:
        one = host.build(source)
        plugin = host.data_dir / "plugins" / one.digest / "plugin.tar"
        tree = host.data_dir / "sources" / f"{one.source_digest}.tar"
        assert (one.commit, one.language, one.tags) == (first, "python", ())
        assert (one.spec.name, one.spec.description, one.spec.jobs) == ("web", "the web app", (JobSpec(name="test"),))
        assert (sha256_of(plugin), plugin.stat().st_size) == (one.digest, one.size_bytes)
        assert (sha256_of(tree), tree.stat().st_size) == (one.source_digest, one.source_size_bytes)
        places = [plugin.stat().st_ino, tree.stat().st_ino]

        host.process.send_signal(signal.SIGINT)  # a terminal's Ctrl-C is left to the master
        again = host.build(source)
        assert (again.digest, again.source_digest) == (one.digest, one.source_digest)
        assert [plugin.stat().st_ino, tree.stat().st_ino] == places

        second = origin.commit("README", "only the tree has changed")
        two = host.build(source)
        assert (two.commit, two.digest) == (second, one.digest)
        assert two.source_digest != one.source_digest

        origin.commit(".cicd/pipeline.py", PIPELINE.replace("def test", "def check"))
        three = host.build(source)
        assert (three.spec.jobs[0].name, three.digest != one.digest) == ("check", True)
        assert list((host.data_dir / "tmp").iterdir()) == []
    assert last_line(host.data_dir / "logs" / "p1-1.log").startswith(f"== ready: plugin {one.digest}")


BROKEN = {
    "syntax": ({".cicd/pipeline.py": "def f(:\n"}, "build", "pipeline.py, line 1: SyntaxError", "    def f(:"),
    "import": (
        {".cicd/pipeline.py": "import nowhere\n"},
        "describe",
        "ModuleNotFoundError: No module named 'nowhere'",
        'pipeline.py", line 1',
    ),
    "no pipeline": ({".cicd/pipeline.py": "x = 1\n"}, "describe", "pipeline", ""),
    "cycle": (
        {
            ".cicd/pipeline.py": PIPELINE.replace("@pipeline.job\n", '@pipeline.job(needs=["b"])\n')
            + "\n@pipeline.job(needs=['test'])\ndef b(ctx): ...\n"
        },
        "describe",
        "test",
        "",
    ),
    "not honoured": (
        {".cicd/pipeline.py": PIPELINE.replace("@pipeline.job\n", '@pipeline.job(approval="sure?", cache_key="k")\n')},
        "describe",
        "job 'test': approval is not supported yet; job 'test': cache_key is not supported yet",
        "",
    ),
    "too new": (
        {".cicd/pipeline.py": PIPELINE, ".cicd/pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=9"'},
        "build",
        "requires Python >=9",
        "",
    ),
    "missing folder": ({"README": ""}, "build", "there is no folder '.cicd' at commit", ""),
    "empty folder": ({".cicd/README": ""}, "build", "has neither pyproject.toml nor pipeline.py", ""),
    "go": ({".cicd/go.mod": ""}, "build", "not supported yet: language go", ""),
    "custom": ({".cicd/cicd.toml": ""}, "build", "not supported yet: language custom", ""),
}  # fmt: skip


def test_a_broken_pipeline_is_told_in_one_line_and_its_log_ends_with_it(origin: Origin, tmp_path: Path) -> None:
    origin.commit("LICENSE", "")
    with RunningBuildHost(settings_of(tmp_path)) as host:
        for name, (files, code, text, logged) in BROKEN.items():
            origin.git("checkout", "-q", "--orphan", name.replace(" ", "-"))
            origin.git("rm", "-rfq", "--ignore-unmatch", ".")
            for path, content in files.items():
                origin.commit(path, content)
            answer, log = host.fail(Source(repository=str(origin.path), ref=name.replace(" ", "-")))
            assert (name, answer.code) == (name, code), log
            assert text in answer.error, (name, log)
            assert "\n" not in answer.error
            assert logged in log
            assert log.splitlines()[-1] == f"== failed ({code}): {answer.error}"
        assert not (host.data_dir / "plugins").exists()
        assert list((host.data_dir / "tmp").iterdir()) == []


def test_sources_that_cannot_be_had_are_told(origin: Origin, tmp_path: Path) -> None:
    origin.commit(".cicd/pipeline.py", PIPELINE)
    here = str(origin.path)
    with RunningBuildHost(settings_of(tmp_path)) as host:
        for source, code, text in (
            (Source(repository=str(tmp_path / "nothing")), "source", "does not appear to be a git repository"),
            (Source(repository=here, ref="nothing"), "source", "no branch, tag or commit 'nothing' (it has: main)"),
            (Source(repository="https://evil.example/o/n.git"), "refused", "host 'evil.example' is not allowed"),
            (Source(repository="ext::touch /tmp/x"), "source", "not 'ext'"),
            (Source(repository=here, ref="--upload-pack=touch x"), "source", "begins with a dash"),
            (Source(repository=here, path="../.."), "build", "out of the repository"),
        ):
            answer, log = host.fail(source)
            assert (answer.code, text in answer.error) == (code, True), (answer, log)
    with RunningBuildHost(settings_of(tmp_path, allow_local=False)) as host:
        answer, _ = host.fail(Source(repository=here))
        assert (answer.code, "compiler.allow_local" in answer.error) == ("refused", True)


def test_a_build_sees_nothing_of_the_master_s_environment_but_what_is_named(origin: Origin, tmp_path: Path) -> None:
    shows = "import os\nprint('SEEN', sorted(os.environ))\n"
    origin.commit(".cicd/pipeline.py", shows + PIPELINE)
    (origin.path / ".cicd" / "slow").mkdir()
    backend = SLOW_BACKEND.replace(
        "def build_wheel(*_):",
        "def build_wheel(*_):\n    print('BUILT', sorted(os.environ.items()), flush=True); sys.exit(3)",
    )
    (origin.path / ".cicd" / "slow" / "backend.py").write_text(backend)
    (origin.path / ".cicd" / "slow" / "pyproject.toml").write_text(SLOW_PACKAGE)
    origin.git("branch", "plain")
    secrets = {
        "MY_SECRET": "hidden-1",
        "AWS_SECRET_ACCESS_KEY": "hidden-2",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "PIP_INDEX_URL": "https://user:hidden-3@index.example/simple",
    }
    with RunningBuildHost(settings_of(tmp_path), secrets) as host:
        log = host.begin(Source(repository=str(origin.path), ref="plain"))
        assert isinstance(host.answer(), Built)
        seen = log.read_text()
        assert "SEEN" in seen
        for name in ("MY_SECRET", "AWS_SECRET", "PROXY", "INDEX", "UV_", "MARKS", "PYTHONPATH"):
            assert name not in seen
        origin.commit(".cicd/pyproject.toml", SLOW_PROJECT)
        answer, built = host.fail(Source(repository=str(origin.path)))
        assert answer.code == "build"
        assert "BUILT" in built
        for name in ("MY_SECRET", "AWS_SECRET", "hidden-1", "hidden-2", "PYTHONPATH"):
            assert name not in built
        for name in ("HTTPS_PROXY", "UV_DEFAULT_INDEX", "MARKS", "UV_OFFLINE"):
            assert name in built


def test_a_build_that_is_stopped_leaves_nothing_running(slow: Source, tmp_path: Path) -> None:
    with RunningBuildHost(settings_of(tmp_path)) as host:
        log = host.begin(slow)
        pids = pids_in(tmp_path)
        host.send(StopBuild(pipeline=PipelineId("p1")))
        answer = host.answer()
        assert isinstance(answer, BuildFailed)
        assert answer.code == "stopped"
        assert gone(pids)
        assert last_line(log) == "== stopped"
        assert list((host.data_dir / "tmp").iterdir()) == []
        host.send(StopBuild(pipeline=PipelineId("p1")))  # of what is not there: nothing happens


def test_a_build_that_is_stopped_at_once_is_answered_too(slow: Source, tmp_path: Path) -> None:
    with RunningBuildHost(settings_of(tmp_path)) as host:
        host.begin(slow)
        host.send(StopBuild(pipeline=PipelineId("p1")))
        answer = host.answer()
        assert isinstance(answer, BuildFailed)
        assert answer.code == "stopped"


def test_a_newer_build_of_a_pipeline_takes_the_place_of_the_older(slow: Source, origin: Origin, tmp_path: Path) -> None:
    with RunningBuildHost(settings_of(tmp_path)) as host:
        host.begin(slow, number=1)
        pids = pids_in(tmp_path)
        (origin.path / ".cicd" / "pyproject.toml").unlink()
        origin.commit(".cicd/pipeline.py", PIPELINE)
        host.begin(slow, number=2)
        host.begin(slow, number=2)  # said twice: one build
        first, second = host.answer(), host.answer()
        assert isinstance(first, BuildFailed)
        assert (first.number, first.code) == (1, "stopped")
        assert isinstance(second, Built)
        assert second.number == 2
        assert gone(pids)


def test_a_build_has_a_time_limit(slow: Source, tmp_path: Path) -> None:
    with RunningBuildHost(settings_of(tmp_path, build_timeout_s=4.0)) as host:
        log = host.begin(slow)
        answer = host.answer()
        pids = pids_in(tmp_path, alive=False) if (tmp_path / "pids").exists() else []
        assert isinstance(answer, BuildFailed)
        assert (answer.code, answer.error) == ("build", "package: it took longer than 4 s")
        assert gone(pids)
        assert last_line(log) == "== failed (build): package: it took longer than 4 s"


def test_nothing_of_a_build_outlives_a_build_host_that_is_killed_and_it_is_begun_again(
    slow: Source, origin: Origin, tmp_path: Path
) -> None:
    with RunningBuildHost(settings_of(tmp_path)) as host:
        host.begin(slow, number=7)
        pids = pids_in(tmp_path)
        host.process.kill()
        wait_until(lambda: gone(pids), 10, "the build's processes to end")
        assert list((host.data_dir / "tmp").iterdir())
    (origin.path / ".cicd" / "pyproject.toml").unlink()
    origin.commit(".cicd/pipeline.py", PIPELINE)
    with RunningBuildHost(settings_of(tmp_path)) as host:
        log = host.begin(slow, number=7)
        assert isinstance(host.answer(), Built)
        assert list((host.data_dir / "tmp").iterdir()) == []
        assert "== begun again: the build before was interrupted\n" in log.read_text()
        assert last_line(log).startswith("== ready")


def test_the_end_of_the_master_ends_builds_and_build_host(slow: Source, tmp_path: Path) -> None:
    with RunningBuildHost(settings_of(tmp_path)) as host:
        log = host.begin(slow)
        pids = pids_in(tmp_path)
        host.sock.close()
        assert host.process.wait(timeout=15) == 0
        assert gone(pids)
        assert last_line(log) == "== stopped"


def test_builds_of_several_pipelines_run_side_by_side_up_to_the_limit(
    slow: Source, origin: Origin, tmp_path: Path
) -> None:
    quick = Origin(tmp_path / "quick")
    quick.commit(".cicd/pipeline.py", PIPELINE)
    with RunningBuildHost(settings_of(tmp_path, max_parallel_builds=2)) as host:
        host.begin(slow, "slow")
        pids_in(tmp_path)
        host.begin(Source(repository=str(quick.path)), "quick")
        assert isinstance(host.answer(), Built)
        host.begin(slow, "slow-too")
        pids_in(tmp_path)
        log = host.begin(Source(repository=str(quick.path)), "waits")
        host.begin(Source(repository=str(quick.path)), "quick-too")
        host.send(StopBuild(pipeline=PipelineId("waits")))
        answer = host.answer()
        assert isinstance(answer, BuildFailed)
        assert (answer.pipeline, answer.code, log.exists()) == ("waits", "stopped", False)
        host.send(StopBuild(pipeline=PipelineId("slow")))
        assert {type(host.answer()), type(host.answer())} == {Built, BuildFailed}


def test_what_a_build_prints_can_be_followed_and_is_cut_where_it_grows_without_end(
    slow: Source, origin: Origin, tmp_path: Path
) -> None:
    wait = "import os, time\nwhile not os.path.exists(MARK): time.sleep(0.01)\n"
    noise = f'print("begun", flush=True)\n{wait}print("x" * 300_000)\n'
    origin.git("rm", "-rq", "--cached", ".cicd/pyproject.toml")
    (origin.path / ".cicd" / "pyproject.toml").unlink()
    origin.commit(".cicd/pipeline.py", noise.replace("MARK", repr(str(tmp_path / "go"))) + PIPELINE)
    with RunningBuildHost(settings_of(tmp_path, max_log_bytes=100_000)) as host:
        log = host.begin(slow)
        wait_until(lambda: log.exists() and "begun" in log.read_text(), 30, "the plugin's first line in the log")
        (tmp_path / "go").touch()
        assert isinstance(host.answer(), Built)
        lines = log.read_text().splitlines()
        assert lines[-2:] == ["== the log is cut here: the build wrote too much", lines[-1]]
        assert lines[-1].startswith("== ready")
        assert log.stat().st_size < 101_000


def test_a_build_host_that_is_told_nonsense_ends_and_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for frame in (b"junk", b"\x81\xa1_\xa5Hello"):
        with RunningBuildHost(settings_of(tmp_path)) as host:
            send_frame(host.sock, frame)
            assert recv_frame(host.sock) is None
            assert host.process.wait(timeout=15) == 1
        assert "build host: " in capfd.readouterr().err


def test_the_log_s_own_lines_stand_alone(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "logs" / "1.log", 20)
    log.say("one")
    log.write(b"half a line")
    log.say("two")
    log.write(b"more than is left")
    log.write(b"nothing")
    log.close()
    expected = b"== one\nhalf a line\n== two\nmore than\n== the log is cut here: the build wrote too much\n"
    assert (tmp_path / "logs" / "1.log").read_bytes() == expected


def test_no_login_is_in_a_build_s_log(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("gh-t0ken-value\n")
    settings = settings_of(tmp_path)
    settings = msgspec.structs.replace(
        settings,
        credentials=(HostCredential(host="example.org", token_file=str(token), ssh_key_file=str(tmp_path / "none")),),
        build_env={"UV_INDEX_URL": "https://ada:pass%2Fword@example.org/simple", "X": "not an address"},
    )
    assert settings.secrets() == [b"gh-t0ken-value\n", b"pass/word"]
    log = BuildLog(tmp_path / "logs" / "1.log", 1000, settings.secrets())
    log.write(b"cloning with gh-t0k")
    log.write(b"en-value from https://ada:pass%2Fword@example.org")
    log.say("failed: gh-t0ken-value")
    log.write(b"gh-t0ken-v")
    log.close()
    expected = b"cloning with *** from https://ada:***@example.org\n== failed: ***\ngh-t0ken-v"
    assert (tmp_path / "logs" / "1.log").read_bytes() == expected
    assert log.masked("gh-t0ken-value") == "***"
