"""Declaring pipelines, and the errors that say what is wrong."""

import pytest

import cicd_sdk as ci
from cicd_sdk import _messages as m
from cicd_sdk._describe import describe


@pytest.fixture
def pipeline():
    return ci.Pipeline("web")


def test_a_job_stays_a_plain_function(pipeline):
    @pipeline.job
    def test():
        return {"x": 1}

    assert test() == {"x": 1}
    assert list(pipeline.jobs) == ["test"]


def test_everything_declared_is_described():
    pipeline = ci.Pipeline(
        "web",
        description="the web app",
        params=[ci.Param("level", choices=[1, 2], default=1), ci.Param("key", secret=True, description="a key")],
        depends_on=["base"],
        triggers=[ci.Trigger("push", branch="main")],
        max_parallel_runs=2,
        run_timeout="1h",
    )

    @pipeline.job
    def build():
        """Builds it."""

    @pipeline.job(
        name="ship-it", title="Ship it", needs=[build, ci.on_failure("other"), ci.on_any("other-2")], timeout="1h30m",
        retry=ci.Retry(2, backoff="30s", on=["timeout"]), labels=["gpu"], secrets=["TOKEN"],
        resources={"memory": "2G"}, group="deploy", allow_failure=True, approval="really?", cache_key="k",
        checkout="git",
    )  # fmt: skip
    def ship(ctx):
        pass

    pipeline.job(name="other", checkout=False)(lambda: None)
    pipeline.job(name="other-2", idempotent=False)(lambda: None)

    told = describe(pipeline)
    assert told.name == "web"
    assert told.depends_on == ["base"]
    assert told.triggers == [m.Trigger(kind="push", settings={"branch": "main"})]
    assert told.max_parallel_runs == 2
    assert told.run_timeout_s == 3600.0
    assert told.features == ["cancel", "fence"]
    assert told.sdk.startswith("python ")
    assert told.params == [
        m.Param(name="level", type=m.ParamType.INT, default="1", choices=["1", "2"]),
        m.Param(name="key", type=m.ParamType.STRING, description="a key", required=True, secret=True),
    ]
    assert told.jobs[0] == m.Job(name="build", description="Builds it.", idempotent=True)
    needs = [m.Need(job="build"), m.Need(job="other", on=m.NeedOn.FAILURE), m.Need(job="other-2", on=m.NeedOn.ANY)]
    assert told.jobs[1] == m.Job(
        name="ship-it", title="Ship it", needs=needs, timeout_s=5400.0,
        retry=m.Retry(attempts=2, backoff_s=30.0, on=["timeout"]),
        idempotent=True, labels=["gpu"], secrets=["TOKEN"], resources={"memory": "2G"}, concurrency_group="deploy",
        allow_failure=True, approval="really?", cache_key="k", checkout=m.Checkout.GIT,
    )  # fmt: skip
    assert told.jobs[2].checkout == m.Checkout.EMPTY
    assert told.jobs[3].idempotent is False
    assert m.Description.decode(told.encode()) == told


def test_two_jobs_of_one_name(pipeline):
    pipeline.job(name="a")(lambda: None)
    with pytest.raises(ci.PipelineError, match="two jobs called 'a'"):
        pipeline.job(name="a")(lambda: None)


def test_a_cycle_is_told_with_its_names(pipeline):
    pipeline.job(name="a", needs=["c"])(lambda: None)
    pipeline.job(name="b", needs=["a"])(lambda: None)
    pipeline.job(name="c", needs=["b"])(lambda: None)
    pipeline.job(name="d", needs=["c"])(lambda: None)
    with pytest.raises(ci.PipelineError, match="a -> c -> b -> a"):
        pipeline.check()


def test_a_job_that_needs_itself(pipeline):
    pipeline.job(name="a", needs=["a"])(lambda: None)
    with pytest.raises(ci.PipelineError, match="a -> a"):
        pipeline.check()


def test_a_need_that_does_not_exist(pipeline):
    pipeline.job(name="a", needs=["nope"])(lambda: None)
    with pytest.raises(ci.PipelineError, match="'a' needs 'nope', which does not exist; there are: a"):
        pipeline.check()


def test_a_need_of_another_pipeline(pipeline):
    @ci.Pipeline("other").job
    def there():
        pass

    with pytest.raises(ci.PipelineError, match=r"'here' needs 'there', a job of another pipeline \('other'\)"):

        @pipeline.job(needs=[there])
        def here():
            pass


def test_a_need_that_is_no_job(pipeline):
    with pytest.raises(ci.PipelineError, match="no job of this pipeline"):
        pipeline.job(name="a", needs=[len])(lambda: None)


def test_a_function_that_is_two_jobs_is_needed_by_name(pipeline):
    def twice():
        pass

    pipeline.job(name="a")(twice)
    pipeline.job(name="b")(twice)
    with pytest.raises(ci.PipelineError, match="a and b"):
        pipeline.job(name="c", needs=[twice])(lambda: None)


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("0.5s", 0.5), (7, 7), ("250ms", 0.25)])
def test_timeouts(pipeline, text, seconds):
    pipeline.job(name="a", timeout=text)(lambda: None)
    assert pipeline.jobs["a"].timeout_s == seconds


@pytest.mark.parametrize("text", ["5 minutes", "", "m", "-1s", 0, -1, True, float("inf"), "1m x"])
def test_a_bad_timeout_names_the_job(pipeline, text):
    with pytest.raises(ci.PipelineError, match="job 'a', timeout"):
        pipeline.job(name="a", timeout=text)(lambda: None)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 101, "é"])
def test_bad_names(pipeline, name):
    with pytest.raises(ci.PipelineError, match="name"):
        pipeline.job(name=name)(lambda: None)


@pytest.mark.parametrize(
    "declared",
    [
        {"retry": -1},
        {"retry": True},
        {"labels": "gpu"},
        {"secrets": [1]},
        {"checkout": "tree"},
        {"needs": "a"},
        {"needs": 3},
        {"needs": ["b", ci.on_any("b")]},
        {"retry": 1, "idempotent": False},
    ],
)
def test_bad_settings(pipeline, declared):
    with pytest.raises(ci.PipelineError, match="a"):
        pipeline.job(name="a", **declared)(lambda: None)


def test_a_retry_on_an_unknown_kind():
    with pytest.raises(ci.PipelineError, match="'flaky'; there are: user"):
        ci.Retry(1, on=["flaky"])


def test_what_a_job_takes(pipeline):
    def optional(ctx=None):
        pass

    class Callable:
        def __call__(self, context):
            pass

    pipeline.job(name="none")(lambda: None)
    pipeline.job(name="one")(lambda ctx: None)
    pipeline.job(name="any-name")(lambda c: None)
    pipeline.job(optional)
    pipeline.job(name="other-default")(lambda x=1: None)
    pipeline.job(name="callable")(Callable())
    takes = {name: job.takes_context for name, job in pipeline.jobs.items()}
    assert takes == {
        "none": False, "one": True, "any-name": True, "optional": True, "other-default": False, "callable": True
    }  # fmt: skip


def test_what_is_no_job(pipeline):
    async def later():
        pass

    with pytest.raises(ci.PipelineError, match="plain function"):
        pipeline.job(later)
    with pytest.raises(ci.PipelineError, match="not 2 arguments"):
        pipeline.job(name="a")(lambda a, b: None)
    with pytest.raises(ci.PipelineError, match="no function"):
        pipeline.job(name="b")(3)


def test_params_are_checked_when_declared(pipeline):
    pipeline.param("a", default=1)
    with pytest.raises(ci.PipelineError, match="'a' is declared twice"):
        pipeline.param("a")
    with pytest.raises(ci.PipelineError, match="str, int, float or bool, not list"):
        pipeline.param("b", type=list)
    with pytest.raises(ci.PipelineError, match="'x' is no int"):
        pipeline.param("b", type=int, default="x")
    with pytest.raises(ci.PipelineError, match="not one of its choices"):
        pipeline.param("b", default="x", choices=["y"])
    with pytest.raises(ci.PipelineError, match="without ="):
        pipeline.param("b=")


def test_param_values():
    from cicd_sdk._param import resolve

    params = [
        ci.Param("s"), ci.Param("i", default=1), ci.Param("f", default=0.5), ci.Param("b", default=False),
        ci.Param("o", required=False), ci.Param("c", choices=["x", "y"], default="x"),
    ]  # fmt: skip
    assert resolve(params, {"s": "a=b", "i": "-4", "f": "1", "b": "true", "c": "y"}) == {
        "s": "a=b", "i": -4, "f": 1.0, "b": True, "o": None, "c": "y"
    }  # fmt: skip
    with pytest.raises(ci.ParamError) as raised:
        resolve(params, {"i": "1.5", "f": "nan", "b": "maybe", "c": "z", "zz": ""})
    told = str(raised.value)
    for part in (
        "no param 'zz'",
        "'s' is required",
        "'1.5' is no int",
        "'nan' is no float",
        "'maybe' is no bool",
        "one of x, y",
    ):
        assert part in told


def test_a_secret_param_is_not_told():
    with pytest.raises(ci.ParamError) as raised:
        ci.Param("pin", type=int, secret=True).parse("hunter2")
    assert "hunter2" not in str(raised.value)


def test_a_param_that_is_not_there_tells_those_that_are():
    from cicd_sdk._param import Params

    with pytest.raises(KeyError, match="no param 'x'; it has: y"):
        Params(y=1)["x"]
