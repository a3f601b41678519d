"""What carries calls and answers, and ends and paces streams."""

from cicd.messages.base import PROTOCOL_VERSION, Wire
from cicd.messages.client.catalogue import Answer, Call


class Request(Wire, frozen=True):
    """A call; `id` is the client's own, unique on its connection."""

    id: int
    call: Call
    protocol: int = PROTOCOL_VERSION


class Reply(Wire, frozen=True):
    """The answer to request `id`."""

    id: int
    answer: Answer


class Failure(Wire, frozen=True):
    """Request or stream `id` failed; see `cicd.errors` for codes."""

    id: int
    code: str
    text: str
    retryable: bool = False


class Item(Wire, frozen=True):
    """Item `seq` (from 1) of stream `id`."""

    id: int
    seq: int
    answer: Answer


class End(Wire, frozen=True):
    """Stream `id` is over; nothing follows."""

    id: int


class Credit(Wire, frozen=True):
    """The client has consumed the items of stream `id` up to and including `seq`."""

    id: int
    seq: int


class StopStream(Wire, frozen=True):
    """The client wants no more of stream `id`."""

    id: int
