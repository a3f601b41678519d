"""What is sent of a log, and what is sent again: as little as is certain to be needed."""

import pytest

from cicd.actors.log_shipment import LogShipment
from cicd.messages.base import JobId
from cicd.messages.bulk import CHUNK_BYTES, LogChunk, LogEnd
from cicd.testing.fake_clock import FakeClock

SIZE = 10 * CHUNK_BYTES


@pytest.fixture
def shipment(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(bytes(SIZE))
    made = LogShipment(JobId("01run-0"), 1, path, FakeClock())
    made.closed(SIZE, 1, "x")
    made.acked(0)
    yield made
    made.close()


def offsets(shipment) -> list[int]:
    return [message.offset // CHUNK_BYTES if isinstance(message, LogChunk) else -1 for message in shipment.ready()]


def test_a_gap_is_gone_back_to_once(shipment):
    assert offsets(shipment) == list(range(8))  # seq 1 to 8; the third is lost
    shipment.acked(2 * CHUNK_BYTES, gap_seq=5)
    assert offsets(shipment) == list(range(2, 10))
    for seq in (6, 7, 8):  # the others that were under way tell of the same gap
        shipment.acked(2 * CHUNK_BYTES, gap_seq=seq)
    assert offsets(shipment) == []
    shipment.acked(10 * CHUNK_BYTES)
    assert offsets(shipment) == [-1]


def test_a_second_gap_is_news(shipment):
    offsets(shipment)
    shipment.acked(2 * CHUNK_BYTES, gap_seq=8)
    assert offsets(shipment) == list(range(2, 10))  # seq 9 to 16; the first of them is lost again
    shipment.acked(2 * CHUNK_BYTES, gap_seq=10)
    assert offsets(shipment) == list(range(2, 10))


def test_an_end_that_comes_too_early_is_said_again(shipment):
    offsets(shipment)
    shipment.acked(8 * CHUNK_BYTES)
    offsets(shipment)
    shipment.acked(SIZE)
    (end,) = shipment.ready()
    assert isinstance(end, LogEnd)
    shipment.acked(9 * CHUNK_BYTES)  # the master has lost some of what it had
    assert offsets(shipment) == [9]
    shipment.acked(SIZE)
    assert offsets(shipment) == [-1]


def test_progress_alone_sends_nothing_twice(shipment):
    assert offsets(shipment) == list(range(8))
    shipment.acked(CHUNK_BYTES)
    assert offsets(shipment) == [8]
    shipment.acked(CHUNK_BYTES)
    assert offsets(shipment) == []
