"""What a plugin says of itself is checked, and what this version does not honour is refused by name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.messages.pipeline import JobSpec, NeedOn, ParamSpec, ParamType, PipelineSpec, Retry
from cicd.messages.run import FailureKind
from cicd.plugins.describe import DescriptionError, spec_from_description
from cicd.plugins.pb import pipeline_pb2 as pb


def description(*jobs: pb.Job, **fields: Any) -> pb.Description:
    return pb.Description(name="web", jobs=list(jobs) or [pb.Job(name="test")], **fields)


def test_all_that_this_version_honours_comes_through() -> None:
    spec = spec_from_description(
        description(
            pb.Job(name="test", title="Tests", description="all", timeout_s=30, labels=["linux", "linux", "gpu"]),
            pb.Job(name="lint", checkout=pb.CHECKOUT_EMPTY),
            pb.Job(
                name="ship", needs=[pb.Need(job="test"), pb.Need(job="lint"), pb.Need(job="test")], idempotent=False
            ),
            pb.Job(name="again", idempotent=True, retry=pb.Retry(attempts=0), concurrency_group="prod/eu"),
            pb.Job(
                name="flaky",
                retry=pb.Retry(attempts=2, backoff_s=1.5, on=["timeout", "user", "timeout"]),
                needs=[
                    pb.Need(job="test", on=pb.NEED_ON_FAILURE),
                    pb.Need(job="lint", on=pb.NEED_ON_ANY),
                    pb.Need(job="ship"),
                ],
                allow_failure=True,
            ),
            description="the web app",
            run_timeout_s=90.5,
            sdk="python 0.1.0",
            features=["cancel"],
            max_parallel_runs=2,
            depends_on=["lib", "base", "lib"],
            cancel_superseded=True,
            params=[
                pb.Param(name="level", type=pb.PARAM_TYPE_INT, default="3", choices=["1", "3"], description="how much"),
                pb.Param(name="dry-run", type=pb.PARAM_TYPE_BOOL, default="false"),
                pb.Param(name="rate", type=pb.PARAM_TYPE_FLOAT, default="0.5"),
                pb.Param(name="who", required=True),
                pb.Param(name="empty", default=""),
            ],
        )
    )
    assert spec == PipelineSpec(
        name="web",
        description="the web app",
        sdk="python 0.1.0",
        run_timeout_s=90.5,
        max_parallel_runs=2,
        depends_on=("lib", "base"),
        cancel_superseded=True,
        params=(
            ParamSpec(name="level", type=ParamType.INT, default="3", choices=("1", "3"), description="how much"),
            ParamSpec(name="dry-run", type=ParamType.BOOL, default="false"),
            ParamSpec(name="rate", type=ParamType.FLOAT, default="0.5"),
            ParamSpec(name="who", required=True),
            ParamSpec(name="empty", default=""),
        ),
        jobs=(
            JobSpec(name="test", title="Tests", description="all", timeout_s=30, labels=("linux", "gpu")),
            JobSpec(name="lint", checkout=False),
            JobSpec(name="ship", needs=("test", "lint"), idempotent=False),
            JobSpec(name="again", group="prod/eu"),
            JobSpec(
                name="flaky",
                needs=("test", "lint", "ship"),
                needs_on={"test": NeedOn.FAILURE, "lint": NeedOn.ANY},
                retry=Retry(attempts=2, backoff_s=1.5, on=(FailureKind.TIMEOUT, FailureKind.USER)),
                allow_failure=True,
            ),
        ),
    )


def job(**fields: Any) -> Callable[[], pb.Description]:
    return lambda: description(pb.Job(name="deploy", **fields))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (job(approval="sure?"), "job 'deploy': approval is not supported yet"),
        (job(secrets=["KEY"]), "job 'deploy': secrets are not supported yet"),
        (job(resources={"cpu": "2"}), "job 'deploy': resources are not supported yet"),
        (job(cache_key="k"), "job 'deploy': cache_key is not supported yet"),
        (job(checkout=pb.CHECKOUT_GIT), "job 'deploy': checkout=\"git\" is not supported yet"),
        (
            lambda: description(pb.Job(name="a"), pb.Job(name="b", needs=[pb.Need(job="a", on=7)])),
            "job 'b': needing 'a' on 7 is not supported yet",
        ),
        (lambda: description(triggers=[pb.Trigger(kind="cron")]), "pipeline: triggers (cron) are not supported yet"),
        (
            lambda: description(params=[pb.Param(name="p", secret=True)]),
            "param 'p': secret params are not supported yet",
        ),
        (lambda: description(params=[pb.Param(name="p", type=9)]), "param 'p': type 9 is not supported yet"),
    ],
)
def test_each_thing_that_is_not_honoured_yet_is_refused_by_name(make: Callable[[], pb.Description], text: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        spec_from_description(make())
    assert caught.value.message == text
    assert caught.value.code == "describe"


def test_all_refusals_are_told_at_once() -> None:
    with pytest.raises(DescriptionError) as caught:
        spec_from_description(
            description(
                pb.Job(name="deploy", approval="x", cache_key="y"),
                pb.Job(name="bad name"),
                depends_on=["no such/name"],
                params=[pb.Param(name="p", secret=True)],
            )
        )
    for text in ("approval", "cache_key", "'bad name'", "depends_on", "secret"):
        assert text in caught.value.message


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: pb.Description(jobs=[pb.Job(name="a")]), "no name"),
        (lambda: pb.Description(name="x"), "no jobs"),
        (lambda: description(pb.Job(name="a"), pb.Job(name="a")), "more than one job is called 'a'"),
        (lambda: description(pb.Job(name="a", needs=[pb.Need(job="b")])), "'a' needs 'b'"),
        (
            lambda: description(pb.Job(name="a", needs=[pb.Need(job="b")]), pb.Job(name="b", needs=[pb.Need(job="a")])),
            "circle: a -> b -> a",
        ),
        (job(timeout_s=-1), "timeout"),
        (job(timeout_s=float("nan")), "timeout"),
        (job(timeout_s=float("inf")), "timeout"),
        (job(retry=pb.Retry(attempts=101)), "at most 100"),
        (job(retry=pb.Retry(attempts=1, backoff_s=-1)), "backoff"),
        (job(retry=pb.Retry(attempts=1, backoff_s=float("nan"))), "backoff"),
        (job(retry=pb.Retry(attempts=1, on=["hunger"])), "no failure kind 'hunger'; there are: user, infrastructure"),
        (job(retry=pb.Retry(attempts=1), idempotent=False), "contradict"),
        (lambda: description(run_timeout_s=-1), "run_timeout"),
        (lambda: description(run_timeout_s=float("nan")), "run_timeout"),
        (
            lambda: description(
                pb.Job(name="a"), pb.Job(name="b", needs=[pb.Need(job="a"), pb.Need(job="a", on=pb.NEED_ON_ANY)])
            ),
            "job 'b': it needs 'a' twice",
        ),
        (job(labels=["a b"]), "not a label: 'a b'"),
        (job(title="x" * 5000), "4000"),
        (job(concurrency_group="a b"), "job 'deploy': not a concurrency_group: 'a b'"),
        (lambda: description(depends_on=["../x"]), "depends_on names '../x', which no pipeline can be called"),
        (lambda: description(depends_on=[f"p{n}" for n in range(101)]), "depends_on has more than 100 names"),
        (lambda: description(pb.Job(name="../x")), "job '../x': a name"),
        (lambda: description(pb.Job(name="x" * 101)), "a name"),
        (lambda: description(params=[pb.Param(name="1p")]), "param '1p': a name"),
        (lambda: description(params=[pb.Param(name="p"), pb.Param(name="p")]), "param 'p' is there twice"),
        (lambda: description(params=[pb.Param(name="p", type=pb.PARAM_TYPE_INT, default="x")]), "default of"),
        (lambda: description(params=[pb.Param(name="p", type=pb.PARAM_TYPE_INT, choices=["1", "x"])]), "choice of"),
        (lambda: description(params=[pb.Param(name="p", choices=["a"], default="b")]), "default of"),
        (lambda: description(*(pb.Job(name=f"j{n}") for n in range(10_001))), "more than 10000 jobs"),
    ],
)
def test_a_description_that_cannot_be_run_is_refused_with_the_names(
    make: Callable[[], pb.Description], text: str
) -> None:
    with pytest.raises(DescriptionError) as caught:
        spec_from_description(make())
    assert text in caught.value.message


@given(st.binary(max_size=200))
def test_whatever_a_plugin_answers_there_is_a_pipeline_or_our_error(data: bytes) -> None:
    answer = pb.Description()
    try:
        answer.ParseFromString(data)
    except Exception:  # noqa: BLE001  not a message at all: gRPC has refused it before
        return
    with contextlib.suppress(DescriptionError):
        spec_from_description(answer)
