"""Where what a job says goes: to a host, to a terminal, or to a test."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from cicd_sdk._wire import Message


class Sink(Protocol):
    """Takes what a job says."""

    @property
    def features(self) -> Collection[str]:
        """What it can take, by the names of `RunJobRequest.features`."""

    def event(self, event: Message) -> None:
        """Take an event: one of the messages that a `JobEvent` holds."""

    def log(self, level: str, text: str) -> None:
        """Take lines of log."""

    def mask(self, value: str) -> None:
        """Take a value that is masked in all that follows."""

    def group(self, title: str) -> None:
        """Take the begin of a group."""

    def group_end(self) -> None:
        """Take the end of the latest group."""
