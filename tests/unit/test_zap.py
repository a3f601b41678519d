"""The authenticator: answers its protocol, denies by default, survives what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest
import zmq
from zmq.utils import z85

from cicd.errors import CicdError
from cicd.testing.waiting import wait_until
from cicd.transport.base import OnDeath
from cicd.transport.curve import new_keypair
from cicd.transport.policy import KeyRing, Policy, deny_all
from cicd.transport.zap import ZapHandler

Context = zmq.Context[zmq.Socket[bytes]]

KEYS = new_keypair()
RAW: bytes = z85.decode(KEYS.public.encode())
GOOD = (b"1.0", b"7", b"d", b"127.0.0.1", b"", b"CURVE", RAW)


@pytest.fixture
def context() -> Iterator[Context]:
    context: Context = zmq.Context()
    yield context
    context.destroy(linger=0)


class MakeHandler(Protocol):
    def __call__(self, policy: Policy = ..., on_death: OnDeath | None = None) -> ZapHandler: ...


@pytest.fixture
def handle(context: Context) -> Iterator[MakeHandler]:
    made: list[ZapHandler] = []

    def make(policy: Policy = deny_all, on_death: OnDeath | None = None) -> ZapHandler:
        made.append(ZapHandler(context, policy, on_death))
        return made[-1]

    yield make
    for handler in made:
        handler.close()


def ring() -> KeyRing:
    keys = KeyRing()
    keys.add("d", KEYS.public, "jürgen")
    return keys


def ask(context: Context, *question: bytes) -> list[bytes]:
    with context.socket(zmq.REQ) as asking:
        asking.linger = 0
        asking.connect("inproc://zeromq.zap.01")
        asking.send_multipart(question)
        assert asking.poll(10_000)
        return asking.recv_multipart()


def test_a_known_key_gets_its_user(context: Context, handle: MakeHandler) -> None:
    handler = handle(ring())
    assert ask(context, *GOOD) == [b"1.0", b"7", b"200", b"OK", "jürgen".encode(), b""]
    assert (handler.allowed["d"], handler.denied["d"]) == (1, 0)


def test_without_a_policy_all_are_denied(context: Context, handle: MakeHandler) -> None:
    handler = handle()
    assert ask(context, *GOOD)[2] == b"400"
    assert handler.denied["d"] == 1


@pytest.mark.parametrize(
    "question",
    [
        (b"",),
        (b"1.0",),
        (b"1.0", b"7"),
        GOOD[:-1],
        (*GOOD, b"more"),
        (b"2.0", *GOOD[1:]),
        (*GOOD[:2], b"other", *GOOD[3:]),
        (*GOOD[:2], b"\xff\xfe", *GOOD[3:]),
        (*GOOD[:5], b"NULL"),
        (*GOOD[:5], b"NULL", RAW),
        (*GOOD[:5], b"PLAIN", b"user", b"password"),
        (*GOOD[:6], RAW[:31]),
        (*GOOD[:6], RAW + b"x"),
        (*GOOD[:6], KEYS.public.encode()),
        (*GOOD[:6], b""),
    ],
)
def test_a_question_that_is_malformed_or_of_another_kind_is_denied(
    context: Context, handle: MakeHandler, question: tuple[bytes, ...]
) -> None:
    handle(ring())
    answer = ask(context, *question)
    assert len(answer) == 6
    assert (answer[1], answer[2], answer[4]) == (question[1] if len(question) > 1 else b"", b"400", b"")
    assert ask(context, *GOOD)[2] == b"200", "it does not live on"


@pytest.mark.parametrize("given", ["", None, 7, object()])
def test_what_is_no_user_is_denied(context: Context, handle: MakeHandler, given: object) -> None:
    handler = handle(lambda _domain, _key: given)  # type: ignore[arg-type, return-value]
    assert ask(context, *GOOD)[2] == b"400"
    handler.policy = ring()
    assert ask(context, *GOOD)[2] == b"200"


def test_a_policy_that_raises_is_counted(context: Context, handle: MakeHandler) -> None:
    handler = handle(lambda _domain, key: {"no": "such"}[key])
    assert ask(context, *GOOD)[2] == b"400"
    assert (handler.policy_errors, handler.denied["d"]) == (1, 1)


def test_a_context_has_one_authenticator(context: Context, handle: MakeHandler) -> None:
    handler = handle(ring())
    with pytest.raises(CicdError, match="cannot answer handshakes"):
        handle(ring())
    handler.close()
    handler.close()
    handle(ring())
    assert ask(context, *GOOD)[2] == b"200"


def test_its_death_is_told(context: Context, handle: MakeHandler) -> None:
    class Fatal(BaseException):
        pass

    def dies(domain: str, client_public: str) -> str | None:
        raise Fatal

    deaths: list[BaseException] = []
    handle(dies, deaths.append)
    with context.socket(zmq.REQ) as asking:
        asking.linger = 0
        asking.connect("inproc://zeromq.zap.01")
        asking.send_multipart(GOOD)
        wait_until(lambda: deaths)
        assert not asking.poll(0)
    assert isinstance(deaths[0], Fatal)
