"""What happened, told in lines: time, who, what."""

from __future__ import annotations

from dataclasses import dataclass, field

from cicd.messages.base import Wire
from cicd.messages.minion import Beat, BeatAck, EntryState, Hello

_NAME = 10


@dataclass
class Story:
    """Entries in order. Nothing is kept unless `on`.

    Attributes:
        on: whether to keep what is told; a history is the same either way.
    """

    on: bool = False
    entries: list[tuple[float, str, str, str]] = field(default_factory=list)

    def tell(self, now_s: float, who: str, what: str, about: object = None) -> None:
        """Add an entry; `about` is put into words only when stories are kept."""
        if self.on:
            self.entries.append((now_s, who, what, describe(about) if isinstance(about, Wire) else str(about or "")))

    def lines(self, *, words: tuple[str, ...] = (), quiet: bool = True) -> list[str]:
        """Return the story.

        Args:
            words: only entries that mention one of these, and those that mention no job at all; empty: all.
            quiet: leave out heartbeats that carry nothing.
        """
        told: list[str] = []
        for time_s, who, what, about in self.entries:
            text = f"{what} {about}".strip()
            if (
                quiet
                and ("Beat(" in text or "BeatAck(" in text or "Pulse(" in text)
                and ("[]" in text or "Pulse(" in text)
            ):
                continue
            if words and "/" in text and not any(word in text for word in words):
                continue
            told.append(f"{time_s:9.3f}  {who:<{_NAME}} {text}")
        return told


def describe(message: Wire) -> str:
    """Return a message in few words."""
    name = type(message).__name__
    if isinstance(message, Beat | Hello):
        entries = ", ".join(
            f"{entry.job}#{entry.attempt} {entry.state if entry.state is not EntryState.FINISHED else 'done'}"
            for entry in message.inventory
        )
        number = f" seq {message.seq}" if isinstance(message, Beat) else ""
        return f"{name}(session {message.session}{number} [{entries}])"
    if isinstance(message, BeatAck):
        return f"{name}(session {message.session} seq {message.seq} [])"
    shown: list[str] = []
    if (job := getattr(message, "job", None)) is not None:
        shown.append(f"{job}#{getattr(message, 'attempt', '?')}")
    if (result := getattr(message, "result", None)) is not None:
        shown.append(str(result.status))
    shown += [
        f"{key} {getattr(message, key)}" for key in ("session", "floor", "code", "reason") if hasattr(message, key)
    ]
    return f"{name}({', '.join(shown)})"
