"""Errors travel as codes and come back as what they were."""

import pytest

from cicd import errors
from cicd.errors import CicdError, ConflictError, IllegalTransitionError, NotFoundError, UnavailableError, UserError

KINDS = [
    CicdError,
    UserError,
    NotFoundError,
    ConflictError,
    errors.RefusedError,
    errors.ProtocolError,
    UnavailableError,
]


def test_codes_are_distinct() -> None:
    kinds: list[type[CicdError]] = [*KINDS, IllegalTransitionError]
    assert len({kind.code for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_as_its_kind(kind: type[CicdError]) -> None:
    sent = kind("what happened")
    got = errors.from_code(sent.code, sent.message, retryable=sent.retryable)
    assert type(got) is kind
    assert (got.code, got.message, got.retryable, str(got)) == (
        sent.code,
        "what happened",
        sent.retryable,
        "what happened",
    )


def test_only_what_is_not_now_can_be_tried_again() -> None:
    assert [kind for kind in KINDS if kind("").retryable] == [UnavailableError]


def test_a_code_that_is_not_known_is_kept() -> None:
    got = errors.from_code("later_version", "text", retryable=True)
    assert type(got) is CicdError
    assert (got.code, got.retryable) == ("later_version", True)


def test_one_error_may_say_more_than_its_kind() -> None:
    special = NotFoundError("gone", code="gone", retryable=True)
    assert (special.code, special.retryable) == ("gone", True)
    assert (NotFoundError("x").code, NotFoundError("x").retryable) == ("not_found", False)


def test_a_user_error_is_told_from_ours() -> None:
    assert issubclass(NotFoundError, UserError)
    assert issubclass(ConflictError, UserError)
    assert not issubclass(IllegalTransitionError, UserError)
    assert not issubclass(UnavailableError, UserError)


def test_an_illegal_transition_tells_its_story() -> None:
    error = IllegalTransitionError("job r1-3", "RUNNING", "JobQueued", ("JobQueued", "JobAssigned"))
    assert str(error) == "job r1-3: no transition for JobQueued in state RUNNING after JobQueued > JobAssigned"
    assert (error.machine, error.state, error.event) == ("job r1-3", "RUNNING", "JobQueued")
    assert error.history == ("JobQueued", "JobAssigned")
    assert not error.retryable
    assert str(IllegalTransitionError("run r1", "FAILED", "x")) == "run r1: no transition for x in state FAILED"
