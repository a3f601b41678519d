"""What calls are answered with, and what an answer may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykka

from cicd.actors.base import Inbox
from cicd.actors.desk.streams import Stream
from cicd.actors.explainer import ExplainerClient
from cicd.actors.log_files import LogFiles
from cicd.actors.pipeline_compiler import PipelineCompiler
from cicd.actors.scheduler import SchedulerClient
from cicd.actors.store import StoreClient
from cicd.clock import Clock
from cicd.core.events import (
    Event,
)
from cicd.ids import IdSource
from cicd.messages import client as c
from cicd.messages.disk import MasterDisk
from cicd.storage.base import Storage

Render = Callable[[Any], c.Answer]
Answered = c.Answer | Stream | Render
"""An answer; a stream; or how to render what the Scheduler will reply."""

NewToken = Callable[[], tuple[str, str, str]]
"""-> token's id, its client public key (z85), its text."""


@dataclass(frozen=True, slots=True)
class About:
    """What `Status` tells."""

    started_s: float
    data_dir: Path
    endpoints: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tools:
    """What calls are answered with.

    Attributes:
        events: the Scheduler's inbox.
        new_token: makes a join token for this master.
        disk: returns what lies on the master's disk.
        dropped: returns what was dropped since the master started, by socket and reason.
    """

    storage: Storage
    store: StoreClient
    scheduler: SchedulerClient
    explainer: ExplainerClient
    events: Inbox[Event]
    compiler: pykka.ActorRef[PipelineCompiler]
    logs: LogFiles
    new_token: NewToken
    dropped: Callable[[], dict[str, int]]
    clock: Clock
    ids: IdSource
    about: About
    disk: Callable[[], MasterDisk]
