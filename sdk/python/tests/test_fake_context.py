"""Jobs under test: plain functions with a fake context."""

import pytest

import cicd_sdk as ci
from cicd_sdk.testing import FakeContext


def job(ctx: ci.Context) -> dict[str, str]:
    with ctx.group("build"):
        ctx.run("uv", "build")
    ctx.log("done", level="warning", version=ctx.needs["test"]["version"])
    ctx.output("path", ctx.workspace.name)
    ctx.metric("size", 3, "MB")
    return {"who": ctx.params["who"]}


def test_it_remembers_everything():
    ctx = FakeContext(params={"who": "me"}, needs={"test": {"version": "1"}})
    assert job(ctx) == {"who": "me"}
    assert ctx.commands == [("uv", "build")]
    assert ctx.groups == ["build"]
    assert ctx.logs == [("warning", "done version=1")]
    assert ctx.outputs == {"path": ctx.workspace.name}
    assert [type(event).__name__ for event in ctx.events] == ["Output", "Metric"]


def test_commands_answer_as_asked():
    ctx = FakeContext(on_run=lambda argv: "v1\n" if argv[0] == "git" else 3)
    assert ctx.run("git", "describe", capture=True).stdout == "v1\n"
    assert ctx.run("make", check=False).returncode == 3
    with pytest.raises(ci.CommandError, match="make exited with code 3"):
        ctx.run("make")


def test_features_that_the_host_does_not_offer_are_named():
    ctx = FakeContext(features=())
    ctx.progress(0.5)
    ctx.annotate("x")
    ctx.summary("x")
    ctx.metric("x", 1)
    assert ctx.events == []
    for call, feature in (
        (lambda: ctx.artifact("x"), "artifacts"),
        (ctx.spawn, "spawn"),
        (lambda: ctx.ask("?"), "ask"),
    ):
        with pytest.raises(ci.FeatureUnavailableError, match=feature):
            call()


def test_cancelled_can_be_seen():
    ctx = FakeContext()
    assert not ctx.cancelled.is_set()
    assert not ctx.cancelled.wait(0)
    ctx.cancel()
    assert ctx.cancelled.wait()


def test_secrets_do_not_show():
    ctx = FakeContext(secrets={"TOKEN": "hunter2"})
    assert ctx.secrets["TOKEN"] == "hunter2"
    assert "hunter2" not in repr(ctx.secrets)
    with pytest.raises(KeyError, match="NOPE"):
        ctx.secrets["NOPE"]


def test_outputs_and_levels_are_checked():
    ctx = FakeContext()
    with pytest.raises(TypeError, match="list"):
        ctx.output("x", [1])
    with pytest.raises(ValueError, match="loud"):
        ctx.log("x", level="loud")


def test_artifacts_are_found_in_the_workspace(tmp_path):
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "a.whl").touch()
    ctx = FakeContext(workspace=tmp_path)
    ctx.artifact("dist/*.whl")
    assert ctx.events[0].name == "dist/a.whl"
    with pytest.raises(FileNotFoundError, match="nope"):
        ctx.artifact("nope/*")
