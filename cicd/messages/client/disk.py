"""Calls about disks, and what answers them."""

from cicd.messages.base import Wire
from cicd.messages.client.limits import PAGE
from cicd.messages.disk import Deletion, MasterDisk


class ShowDisk(Wire, frozen=True):
    """-> DiskAnswer: what the master keeps. What minions keep is in their views."""


class ListDeletions(Wire, frozen=True):
    """-> DeletionPage: what was deleted by rule on the master, newest first."""

    limit: int = PAGE


class DiskAnswer(Wire, frozen=True):
    """What lies on the master's disk."""

    disk: MasterDisk
    data_dir: str = ""


class DeletionPage(Wire, frozen=True):
    """Deletions, newest first."""

    deletions: tuple[Deletion, ...] = ()
