"""The bounded way of events from the job to the sockets."""

import threading

import pytest

from cicd.testing.waiting import wait_until
from cicd_sdk._outbox import _MAX_WAITING, Outbox


@pytest.fixture
def outbox():
    return Outbox(wake=lambda: None, hurry=lambda: False)


def held(outbox):
    """A thread that puts one event into a full outbox."""
    outbox.put(b"x" * _MAX_WAITING)
    thread = threading.Thread(target=outbox.put, args=[b"more"])
    thread.start()
    wait_until(lambda: outbox._changed._waiters, what="the writer to wait")
    return thread


def test_a_full_outbox_holds_the_writer_until_there_is_room(outbox):
    thread = held(outbox)
    assert len(outbox.take()) == _MAX_WAITING
    thread.join(20)
    assert (outbox.take(), outbox.take()) == (b"more", None)


def test_the_end_of_the_reader_frees_the_writer(outbox):
    thread = held(outbox)
    outbox.close()
    thread.join(20)
    assert outbox.take() is None


def test_a_writer_that_must_hurry_does_not_wait():
    hurried = []
    outbox = Outbox(wake=lambda: None, hurry=lambda: bool(hurried))
    thread = held(outbox)
    hurried.append(True)
    outbox.nudge()
    thread.join(20)
    assert not thread.is_alive()


def test_the_result_never_waits(outbox):
    outbox.put(b"x" * _MAX_WAITING)
    outbox.put(b"result", force=True)


def test_the_reader_is_woken():
    woken = []
    Outbox(wake=lambda: woken.append(True), hurry=lambda: False).put(b"x")
    assert woken
