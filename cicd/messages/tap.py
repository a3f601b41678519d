"""What a tap shows of a message that crossed a socket: never payloads of logs, never values of params or outputs."""

from cicd.messages.base import Wire


class TapRecord(Wire, frozen=True):
    """One message that crossed one of the process's sockets.

    Attributes:
        time_s: wall time, seconds since the epoch.
        socket: `control`, `bulk` or `client`.
        direction: `in` or `out`, as seen by the process that is tapped.
        peer: name of the minion or operator where known, else the routing id in hexadecimal.
        kind: the message's kind.
        size_bytes: of the frame.
        ids: run, job, attempt, session, seq, digest: those the message carries, as text.
        latency_s: for an answer: time since what it answers; negative: not known.
    """

    time_s: float
    socket: str
    direction: str
    peer: str
    kind: str
    size_bytes: int
    ids: dict[str, str] = {}
    latency_s: float = -1.0
