"""Calls about minions, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.client.limits import PAGE
from cicd.messages.client.views import MinionView


class ListMinions(Wire, frozen=True):
    """-> MinionPage, by place in the ring."""

    after: int = -1
    limit: int = PAGE


class ShowMinion(Wire, frozen=True):
    """-> MinionAnswer."""

    name: str


class SuspendMinion(Wire, frozen=True):
    """-> MinionAnswer. It gets no new jobs until it is resumed; what runs there goes on."""

    name: str
    why: str = ""


class ResumeMinion(Wire, frozen=True):
    """-> MinionAnswer."""

    name: str


class DrainMinion(Wire, frozen=True):
    """-> MinionAnswer. It gets no new jobs, and its process ends when what runs there has ended and is delivered.

    When it comes back it is suspended, until it is resumed. `ResumeMinion` undoes a drain that is not over.
    """

    name: str
    why: str = ""


class RemoveMinion(Wire, frozen=True):
    """-> Done. The minion is forgotten, its name is free, its key is let in no more. Refused while it holds jobs."""

    name: str


class MinionAnswer(Wire, frozen=True):
    """One minion."""

    view: MinionView


class MinionPage(Wire, frozen=True):
    """Minions in the order of the ring."""

    minions: tuple[MinionView, ...]
    more: bool = False
