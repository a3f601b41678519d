"""The Explainer: one question after the other, each bounded, none for nobody."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pykka
import pytest

from actors_support import Deaths, run_record
from cicd.actors import explainer
from cicd.actors.explainer import MAX_QUESTIONS, Explainer, ExplainerClient, StoryStream
from cicd.clock import SystemClock
from cicd.core.cluster import Cluster
from cicd.core.events import Now, RunSubmitted, Ticked
from cicd.core.settings import CoreSettings
from cicd.errors import CicdError, UnavailableError
from cicd.messages.client import StoryLine, StoryLines
from cicd.messages.pipeline import JobSpec, PipelineSpec
from cicd.replay import segments
from cicd.replay.files import Limits
from cicd.replay.story import Story
from cicd.replay.writer import InputJournal
from cicd.testing.fake_clock import FakeClock
from cicd.testing.waiting import wait_until

NOW = StoryLine(at_s=2e9, text="no minion has joined", kind="now", job="a")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a journal of one run whose only job waits."""
    cluster = Cluster(CoreSettings())
    journal = InputJournal(tmp_path, cluster, Now(boot_s=1.0, wall_s=0.0), Limits())
    spec = PipelineSpec(name="p", jobs=(JobSpec(name="a"),))
    journal.handle([RunSubmitted(run=run_record("run"), spec=spec)], Now(boot_s=1.1, wall_s=0.1))
    for tick in range(50):
        journal.handle([Ticked()], Now(boot_s=1.2 + tick / 10, wall_s=0.2 + tick / 10))
    journal.close()
    yield tmp_path
    pykka.ActorRegistry.stop_all(timeout=5)


def ask(folder: Path, *clock_and_rest) -> ExplainerClient:
    clock, *rest = clock_and_rest or (SystemClock(),)
    return ExplainerClient(Explainer.start(folder, None, clock, Deaths(), *rest))


def pages(stream: StoryStream) -> list[StoryLines]:
    found: list[StoryLines] = []

    def whole() -> bool:
        page = stream.next()
        if isinstance(page, StoryLines):
            found.append(page)
        return stream.ended

    wait_until(whole, timeout_s=20)
    assert [page.last for page in found] == [False] * (len(found) - 1) + [True]
    return found


def test_a_story_comes_in_pages_with_the_present_at_its_end(folder):
    (page,) = pages(ask(folder).tell(run_record("run"), ["a"], "", [NOW]))
    assert [line.text for line in page.lines] == ["waits: no minion has joined", NOW.text]

    stream = StoryStream()
    lines = [StoryLine(at_s=float(index), text="x" * 900, kind="note") for index in range(500)]
    stream.tell(list(reversed(lines)))
    told = pages(stream)
    assert len(told) > 2
    assert [line for page in told for line in page.lines] == lines


def test_a_question_that_takes_too_long_is_answered_as_far_as_it_was_read(folder, monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(explainer, "SLICE_S", 0.0)
    client = ask(folder, clock, lambda _: clock.advance(explainer.LIMIT_S + 1))
    (page,) = pages(client.tell(run_record("run"), ["a"], "", []))
    assert page.lines[-1].text == (
        "the journal is longer than is read for one question: what follows is from the records only"
    )


def test_nobody_who_has_gone_is_read_for_and_only_so_many_wait(folder, monkeypatch):
    gate = threading.Event()
    began: list[str] = []
    read = Story.read

    def held(story: Story, found):
        began.append("")
        gate.wait(20)
        return read(story, found)

    monkeypatch.setattr(Story, "read", held)
    client = ask(folder)
    streams = [client.tell(run_record("run"), ["a"], "", []) for _ in range(MAX_QUESTIONS)]
    with pytest.raises(UnavailableError, match="many are asking"):
        client.tell(run_record("run"), ["a"], "", [])
    wait_until(lambda: began, timeout_s=10)
    del streams[1:]
    again = client.tell(run_record("run"), ["a"], "", [])
    gate.set()
    pages(streams[0])
    pages(again)
    assert len(began) == 2


def test_what_cannot_be_read_is_said(folder, monkeypatch):
    stream = StoryStream()
    assert stream.next() is None
    (folder / "00000001.inputs").write_bytes(segments.frame(b"no header"))
    stream = ask(folder).tell(run_record("run"), ["a"], "", [])
    with pytest.raises(CicdError, match="no journal of a master's"):
        pages(stream)

    def no_access(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(explainer.reader, "read", no_access)
    stream = ask(folder).tell(run_record("run"), ["a"], "", [])
    with pytest.raises(UnavailableError, match="the journal cannot be read: Permission denied"):
        pages(stream)
