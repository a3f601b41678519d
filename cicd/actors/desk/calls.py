"""How each call of a client is answered: at once, by a stream, or when the Scheduler has stored what was asked."""

from __future__ import annotations

from collections.abc import Callable

from cicd.actors.desk.disk_calls import DiskCalls
from cicd.actors.desk.explain_calls import ExplainCalls
from cicd.actors.desk.log_calls import LogCalls
from cicd.actors.desk.master_calls import MasterCalls
from cicd.actors.desk.minion_calls import MinionCalls
from cicd.actors.desk.pipeline_calls import PipelineCalls
from cicd.actors.desk.run_calls import RunCalls
from cicd.actors.desk.run_control_calls import RunControlCalls
from cicd.actors.desk.token_calls import TokenCalls
from cicd.actors.desk.tools import Answered, Tools
from cicd.core.events import (
    Asker,
)
from cicd.messages import client as c
from cicd.storage.room import Room

_BEGIN_SOMETHING = (c.StartRun, c.RetryRun, c.CreatePipeline, c.RecompilePipeline, c.CreateToken)
"""Calls that are refused while the master's disk is nearly full; what ends or removes something is not."""


class Calls:
    """Answers calls; used by the desk's thread only. Each method of a noun's class is named after its call.

    Args:
        tools: what calls are answered with.
        room: of the master's disk; None: it is never full.
    """

    def __init__(self, tools: Tools, room: Room | None = None) -> None:
        self._room = room
        nouns = (
            MasterCalls(tools),
            PipelineCalls(tools),
            RunCalls(tools),
            ExplainCalls(tools),
            RunControlCalls(tools),
            LogCalls(tools),
            MinionCalls(tools),
            TokenCalls(tools),
            DiskCalls(tools),
        )
        self._methods: dict[str, Callable[..., Answered]] = {
            name: getattr(noun, name) for noun in nouns for name in dir(noun) if name[0].isupper()
        }

    def answer(self, call: c.Call, user: str, asker: Asker) -> Answered:
        """Answer a call of `user`; `asker` is what the Scheduler's reply will carry.

        Raises:
            CicdError: what is wrong with it; StoreFullError: the disk is nearly full.
        """
        if self._room is not None and isinstance(call, _BEGIN_SOMETHING):
            self._room.check()
        return self._methods[type(call).__name__](call, user, asker)
