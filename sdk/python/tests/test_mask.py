"""`ctx.mask`: the host is told in the output, before what is printed next; where it cannot mask, it is not told."""

import base64
import os

import pytest

from cicd_sdk._marks import Marks
from cicd_sdk.errors import FeatureUnavailableError
from cicd_sdk.testing import FakeContext


def written(capfd: pytest.CaptureFixture[str], value: str, fence: str = "f") -> list[bytes]:
    Marks(fence).mask(value)
    out = capfd.readouterr().out.encode()
    assert all(len(line) < 4096 for line in out.splitlines())
    return [base64.b64decode(line.removeprefix(b"\x1efM")) for line in out.splitlines()]


def test_each_line_is_a_mark(capfd: pytest.CaptureFixture[str]) -> None:
    assert written(capfd, "one\n\n two\n") == [b"one", b" two"]


def test_a_long_line_is_told_in_pieces(capfd: pytest.CaptureFixture[str]) -> None:
    value = os.urandom(5000).hex()
    pieces = written(capfd, value)
    assert len(pieces) > 1
    assert b"".join(pieces).decode() == value


def test_nothing_is_told_without_a_fence(capfd: pytest.CaptureFixture[str]) -> None:
    assert written(capfd, "secret", fence="") == []


def test_a_test_sees_what_is_masked() -> None:
    ctx = FakeContext()
    ctx.mask("secret")
    assert ctx.masked == ["secret"]


def test_a_host_that_cannot_mask_is_not_told() -> None:
    ctx = FakeContext(features=("outputs",))
    with pytest.raises(FeatureUnavailableError, match="mask"):
        ctx.mask("secret")
    assert ctx.masked == []
