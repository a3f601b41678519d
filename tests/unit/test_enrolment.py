"""Which keys speak for which minions, and the tokens that let new keys in."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cicd.core.events import (
    Asker,
    MinionAskedToEnrol,
    MinionRemoved,
    MinionSaidHello,
    Origin,
    TokenCreated,
    TokenRevoked,
)
from cicd.core.plan import Admit, Answer, AnswerJoiner, CloseToken, Expel, OpenToken, Plan, Reply
from cicd.errors import CicdError, ConflictError, NotFoundError
from cicd.messages.base import MinionId
from cicd.messages.cluster import Connection, MinionRecord, TokenRecord
from cicd.messages.enrol import Enrol, Enrolled, EnrolRefused
from cicd.messages.minion import Hello, Refused, Welcome
from cicd.messages.pipeline import JobSpec
from cicd.testing.model.minion import ModelMinion
from cicd.testing.model.world import World

A, B = MinionId("a"), MinionId("b")
KEY, OTHER = "k" * 40, "o" * 40
TOKEN = TokenRecord(id="t", client_public="p" * 40, created_s=0.0, enrol_only=True)
ASK = Enrol(minion=A, name="one", key=KEY, hostname="a.test", version="1")


def world_with(*tokens: TokenRecord, minions: tuple[ModelMinion, ...] = ()) -> World:
    world = World.of(*minions)
    for token in tokens or (TOKEN,):
        world.handle(TokenCreated(token=token))
    return world


def enrol(world: World, token: str = TOKEN.id, **changes: object) -> Plan:
    return world.handle(MinionAskedToEnrol(ask=replace(ASK, **changes), token=token, origin=Origin(b"x/0")))


def answer(plan: Plan) -> object:
    return next(effect.message for effect in plan.effects if isinstance(effect, AnswerJoiner))


def refusal(plan: Plan) -> str:
    """Return why it was refused: then nothing was stored and nobody let in."""
    said = answer(plan)
    assert isinstance(said, EnrolRefused), said
    assert not plan.saves
    assert not [effect for effect in plan.effects if isinstance(effect, Admit | Expel)]
    return said.code


def hello(world: World, *, enrolled: bool, minion: MinionId = A, name: str = "one") -> object:
    message = Hello(minion=minion, name=name, hostname="h", version="1", platform="p", slots=1)
    event = MinionSaidHello(
        hello=message, origin=Origin(b"x/0"), user="u", received_boot_s=world.now_s, enrolled=enrolled
    )
    return next(effect.message for effect in world.handle(event).effects if isinstance(effect, Answer))


# ---- keys ----------------------------------------------------------------------------------------------


def test_a_key_is_taken_stored_and_let_in_before_the_minion_is_told() -> None:
    world = world_with()
    plan = enrol(world)
    assert plan.effects == [Admit(A, KEY), AnswerJoiner(Origin(b"x/0"), Enrolled(minion=A))]
    record = world.store.minions[A]
    assert (record.key, record.name, record.hostname, record.session) == (KEY, "one", "a.test", 0)
    assert world.store.tokens["t"].uses == 1
    assert isinstance(hello(world, enrolled=True), Welcome)


def test_the_same_key_again_changes_nothing_whatever_became_of_the_token() -> None:
    world = world_with(replace(TOKEN, max_uses=1))
    enrol(world)
    world.handle(TokenRevoked(token="t"))
    plan = enrol(world)
    assert not plan.saves
    assert plan.effects == [Admit(A, KEY), AnswerJoiner(Origin(b"x/0"), Enrolled(minion=A))]
    assert world.store.tokens["t"].uses == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"protocol": 2}, "protocol"),
        ({"key": "k" * 39}, "malformed"),
        ({"key": "k" * 39 + " "}, "malformed"),
        ({"name": "../etc"}, "malformed"),
        ({"minion": "a b"}, "malformed"),
        ({"hostname": "h" * 201}, "malformed"),
        ({"token": "unknown"}, "token_unknown"),
    ],
)
def test_what_is_malformed_or_unknown_is_refused(change: dict[str, object], code: str) -> None:
    world = world_with()
    before = world.cluster.book.refused
    assert refusal(enrol(world, **change)) == code
    assert world.cluster.book.refused == before + 1


def test_a_minion_that_said_no_hello_is_lost_after_its_lease_and_may_come_later() -> None:
    world = world_with()
    enrol(world)
    world.advance(14.0)
    assert world.cluster.book.minions[A].connection is Connection.LOST
    assert isinstance(hello(world, enrolled=True), Welcome)


def test_a_name_is_refused_while_its_minion_may_live_and_goes_over_once_that_is_lost() -> None:
    world = world_with()
    enrol(world)
    hello(world, enrolled=True)
    assert refusal(enrol(world, minion=B, key=OTHER)) == "name_taken"
    world.advance(14.0)
    plan = enrol(world, minion=B, key=OTHER)
    assert plan.effects[0] == Expel(A, KEY)
    assert isinstance(answer(plan), Enrolled)
    assert list(world.store.minions) == [B]
    assert world.store.minions[B].ring == 0
    # The old one comes back: its key opens nothing, and its name is another's.
    assert refusal(enrol(world)) == "name_taken"
    assert hello(world, enrolled=True) == Refused(
        code="name_taken",
        text="another minion (a.test) is called 'one'; give this one a name of its own",
        retryable=True,
    )


def test_another_key_of_the_same_minion_is_refused_while_it_may_live() -> None:
    world = world_with()
    enrol(world)
    hello(world, enrolled=True)
    assert refusal(enrol(world, key=OTHER)) == "id_taken"
    world.advance(14.0)
    plan = enrol(world, key=OTHER)
    assert plan.effects[:2] == [Expel(A, KEY), Admit(A, OTHER)]
    assert world.store.minions[A].key == OTHER


def test_a_key_belongs_to_one_minion() -> None:
    world = world_with()
    enrol(world)
    assert refusal(enrol(world, minion=B, name="two")) == "key_taken"


def test_a_minion_from_before_enrolment_gets_a_key_and_from_then_on_only_that_speaks_for_it() -> None:
    world = world_with()
    assert isinstance(hello(world, enrolled=False), Welcome)
    enrol(world)
    assert world.store.minions[A].session == 1
    said = hello(world, enrolled=False)
    assert isinstance(said, Refused)
    assert (said.code, said.retryable) == ("own_key", False)
    assert isinstance(hello(world, enrolled=True), Welcome)


def test_a_key_without_a_minion_has_to_enrol_again() -> None:
    """A store that was set back, a minion that was removed: its Hello makes no minion."""
    world = world_with()
    said = hello(world, enrolled=True)
    assert isinstance(said, Refused)
    assert (said.code, said.retryable) == ("not_enrolled", True)
    assert not world.store.minions


def test_a_hello_with_malformed_texts_is_refused() -> None:
    world = World({})
    for changes in ({"name": "a b"}, {"minion": "m/1"}, {"labels": ("x" * 201,)}, {"tags": ("x",) * 1001}):
        message = replace(Hello(minion=A, name="one", hostname="h", version="1", platform="p", slots=1), **changes)
        event = MinionSaidHello(hello=message, origin=Origin(b"x/0"), user="u", received_boot_s=0.0)
        (effect,) = world.handle(event).effects
        assert isinstance(effect, Answer)
        assert isinstance(effect.message, Refused)
        assert effect.message.code == "malformed"
    assert not world.store.minions


# ---- removal -------------------------------------------------------------------------------------------


def remove(world: World, minion: MinionId) -> object:
    plan = world.handle(MinionRemoved(minion=minion, by="ada", asker=Asker(99)))
    return next(effect.result for effect in plan.effects if isinstance(effect, Reply))


def test_a_removed_minion_is_forgotten_and_its_key_never_let_in_again() -> None:
    world = world_with()
    enrol(world)
    plan = world.handle(MinionRemoved(minion=A, by="ada"))
    assert plan.effects == [Expel(A, KEY)]
    assert not world.store.minions
    assert world.store.removed_keys[KEY].removed_by == "ada"
    assert refusal(enrol(world)) == "removed"
    assert refusal(enrol(world, minion=B, name="two")) == "removed"
    assert isinstance(answer(enrol(world, minion=B, key=OTHER)), Enrolled)
    world.restart_master()
    assert refusal(enrol(world)) == "removed"


def test_a_minion_that_holds_jobs_is_not_removed() -> None:
    world = World.of(ModelMinion("m", slots=2))
    world.submit("p", [JobSpec(name="x")])
    found = remove(world, MinionId("m"))
    assert isinstance(found, ConflictError)
    assert "holds a job" in found.message
    world.submit("p", [JobSpec(name="x")])
    assert "holds 2 jobs" in str(remove(world, MinionId("m")))
    world.start("m")
    world.finish("m")
    assert isinstance(remove(world, MinionId("m")), MinionRecord)
    assert isinstance(remove(world, MinionId("m")), NotFoundError)


def test_what_a_removed_minion_still_says_changes_nothing() -> None:
    world = World.of(ModelMinion("m"), ModelMinion("n"))
    remove(world, MinionId("m"))
    before = world.cluster.book.refused
    world.beat("m")
    assert world.cluster.book.refused == before + 1
    assert MinionId("m") not in world.store.minions
    world.submit("p", [JobSpec(name="x")])
    assert [job.minion for job in world.store.jobs.values()] == [MinionId("n")]


def test_a_minion_that_was_renamed_and_removed_in_one_batch_leaves_no_name_behind() -> None:
    world = world_with()
    hello(world, enrolled=False)
    message = Hello(minion=A, name="two", hostname="h", version="1", platform="p", slots=1)
    said = MinionSaidHello(hello=message, origin=Origin(b"x/0"), user="u", received_boot_s=world.now_s)
    plan = world.handle(said, MinionRemoved(minion=A, by="ada"))
    assert plan.forgotten_minions[A].name == "one"
    assert not plan.minions


# ---- tokens --------------------------------------------------------------------------------------------


def test_a_token_is_open_when_it_is_stored() -> None:
    world = World({})
    plan = world.handle(TokenCreated(token=TOKEN, asker=Asker(1)))
    assert plan.saves
    assert plan.effects == [OpenToken(TOKEN), Reply(Asker(1), TOKEN)]


def test_an_expired_token_lets_nobody_new_in() -> None:
    world = World({})
    world.handle(TokenCreated(token=replace(TOKEN, expires_s=world.now.wall_s + 60)))
    world.advance(59.0)
    enrol(world)
    world.advance(1.0)
    assert refusal(enrol(world, minion=B, name="two", key=OTHER)) == "token_expired"
    assert isinstance(answer(enrol(world)), Enrolled), "one that is in stays in"


def test_a_token_lets_in_as_many_as_it_may_also_within_one_batch_and_over_a_restart() -> None:
    world = world_with(replace(TOKEN, max_uses=2))
    asks = [
        MinionAskedToEnrol(
            ask=replace(ASK, minion=MinionId(f"m{number}"), name=f"m{number}", key=f"{number}" * 40),
            token="t",
            origin=Origin(b"x/0"),
        )
        for number in range(3)
    ]
    plan = world.handle(*asks)
    answers = [effect.message for effect in plan.effects if isinstance(effect, AnswerJoiner)]
    assert [type(each) for each in answers] == [Enrolled, Enrolled, EnrolRefused]
    assert len(world.store.minions) == world.store.tokens["t"].uses == 2
    world.restart_master()
    assert refusal(enrol(world, minion=B, name="two", key=OTHER)) == "token_used_up"


def test_two_tokens_are_live_at_once_and_revoking_one_touches_nobody_who_is_in() -> None:
    world = world_with(TOKEN, replace(TOKEN, id="u"))
    enrol(world)
    plan = world.handle(TokenRevoked(token="t", asker=Asker(5)))
    revoked = replace(TOKEN, uses=1, revoked=True)
    assert plan.effects == [CloseToken(revoked), Reply(Asker(5), revoked)]
    assert world.store.tokens["t"].revoked
    assert isinstance(hello(world, enrolled=True), Welcome)
    assert refusal(enrol(world, minion=B, name="two", key=OTHER)) == "token_unknown"
    assert isinstance(answer(enrol(world, token="u", minion=B, name="two", key=OTHER)), Enrolled)


def test_revoking_a_token_that_is_not_there_says_so() -> None:
    world = World({})
    plan = world.handle(TokenRevoked(token="t", asker=Asker(5)))
    (reply,) = plan.effects
    assert isinstance(reply, Reply)
    assert isinstance(reply.result, CicdError)
    assert reply.result.code == "not_found"
    assert not world.handle(TokenRevoked(token="t")).effects
