"""What all messages share: the frozen base, the ids' types and the protocol's version.

A value or record is a frozen `Message`; what crosses a socket by itself is a `Wire`, which carries its class's name as
the field `_`. Unknown fields are ignored, so that a newer peer may say more; fields that were added later have
defaults, so that an older peer may say less.
"""

from typing import NewType

import msgspec

PROTOCOL_VERSION = 1
"""Spoken by this version; a peer with another major number is refused at HELLO."""

PipelineId = NewType("PipelineId", str)
RunId = NewType("RunId", str)
JobId = NewType("JobId", str)
"""`<run id>-<index>`: the index is the job's place in its run, counted from 0."""
MinionId = NewType("MinionId", str)
Digest = NewType("Digest", str)
"""sha256 in lower-case hexadecimal, 64 characters."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every value and record: frozen, fields by name only."""


class Wire(Message, frozen=True, tag=True, tag_field="_"):
    """Base of what crosses a socket by itself; its kind is its class's name."""


class ErrorReply(Wire, frozen=True):
    """The peer's last message was not accepted; nothing was changed by it.

    Attributes:
        code: see `cicd.errors`.
        text: for people, one line.
        kind: the kind of the message that is answered, where it could be read.
    """

    code: str
    text: str
    kind: str = ""


def job_id(run: RunId, index: int) -> JobId:
    """Return the id of the job at `index` (0 or more) of a run."""
    return JobId(f"{run}-{index}")


def split_job_id(job: JobId) -> tuple[RunId, int]:
    """Return a job id's run and index.

    Raises:
        ValueError: it is no job id.
    """
    run, _, index = job.rpartition("-")
    if not run or not index.isascii() or not index.isdigit():
        raise ValueError(f"not a job id: {job!r}")
    return RunId(run), int(index)
