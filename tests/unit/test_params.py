"""Parameters of a run: defaults, and every fault told at once."""

from __future__ import annotations

import pytest

from cicd.core.params import LIMIT_BYTES, resolve, value_fault
from cicd.errors import UserError
from cicd.messages.pipeline import ParamSpec, ParamType, PipelineSpec

SPEC = PipelineSpec(
    name="p",
    params=(
        ParamSpec(name="target", choices=("dev", "prod"), default="dev"),
        ParamSpec(name="count", type=ParamType.INT, required=True),
        ParamSpec(name="note"),
    ),
)


def test_what_is_given_wins_over_the_default_and_what_has_neither_is_left_out() -> None:
    assert resolve(SPEC, {"count": "3"}) == {"target": "dev", "count": "3"}
    assert resolve(SPEC, {"count": "3", "target": "prod", "note": ""}) == {"target": "prod", "count": "3", "note": ""}


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        resolve(SPEC, {"target": "test", "colour": "red"})
    assert caught.value.code == "params"
    assert caught.value.message == (
        "no parameter 'colour' (there are: target, count, note); "
        "parameter 'target': 'test' is none of dev, prod; parameter 'count' is required"
    )


def test_a_pipeline_without_parameters_says_so() -> None:
    with pytest.raises(UserError, match="there are none"):
        resolve(PipelineSpec(name="p"), {"x": "1"})
    assert resolve(PipelineSpec(name="p"), {}) == {}


def test_a_default_of_the_wrong_type_is_a_fault_too() -> None:
    spec = PipelineSpec(name="p", params=(ParamSpec(name="n", type=ParamType.INT, default="many"),))
    with pytest.raises(UserError, match="'many' is not of type int"):
        resolve(spec, {})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (ParamType.STRING, ["", "x", "\u00e4"], []),
        (ParamType.INT, ["0", "-12", "+7"], ["", "1.0", "1_000", " 1", "1\n", "0x1f", "\u0663", "one"]),
        (ParamType.FLOAT, ["0", "-1.5", ".5", "2.", "1e-9", "+1E3"], ["", ".", "nan", "inf", "1_0.0", "1e", " 1"]),
        (ParamType.BOOL, ["true", "false"], ["True", "1", "yes", ""]),
    ],
)
def test_values_are_of_their_type_as_every_language_reads_it(kind: ParamType, good: list[str], bad: list[str]) -> None:
    param = ParamSpec(name="p", type=kind)
    assert [text for text in good if value_fault(param, text)] == []
    assert [text for text in bad if not value_fault(param, text)] == []


def test_all_values_together_have_a_limit_in_bytes() -> None:
    half = "\u00e4" * (LIMIT_BYTES // 4)
    spec = PipelineSpec(name="p", params=(ParamSpec(name="a"), ParamSpec(name="b")))
    assert resolve(spec, {"a": half, "b": half})
    with pytest.raises(UserError, match=f"are {LIMIT_BYTES + 1} bytes"):
        resolve(spec, {"a": half, "b": half + "x"})
