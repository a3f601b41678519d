"""The ring: next in turn, places kept. Every short history is in tests/exhaustive."""

from __future__ import annotations

from cicd.core.ring import Ring


def any_place(_place: int) -> bool:
    return True


def ring_of(*places: int) -> Ring:
    ring = Ring()
    for place in places:
        ring.open(place)
    return ring


def test_turns_go_round_in_the_order_of_places_however_they_were_opened() -> None:
    ring = ring_of(5, 1, 3)
    assert [ring.next(any_place) for _ in range(5)] == [1, 3, 5, 1, 3]


def test_a_place_that_closes_and_opens_again_has_its_old_turn() -> None:
    ring = ring_of(1, 2, 3)
    assert [ring.next(any_place) for _ in range(2)] == [1, 2]
    ring.close(3)
    ring.close(3)
    assert 3 not in ring
    ring.open(3)
    ring.open(3)
    assert len(ring) == 3
    assert ring.next(any_place) == 3


def test_who_does_not_suit_is_passed_over_and_an_empty_ring_has_nobody() -> None:
    ring = ring_of(1, 2, 3)
    assert ring.next(lambda place: place == 3) == 3
    assert ring.next(lambda place: place > 5) is None
    assert ring.next(any_place) == 1, "a search in vain does not move the hand"
    assert Ring().next(any_place) is None
