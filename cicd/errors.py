"""Errors that say whose fault they are and travel between processes as a code.

Nothing in the system finds out what went wrong by reading a message's text: `code` is for programs, the text is
for people. Every subclass fixes whose fault it is; `retryable` says whether the same call may succeed later.
"""

from __future__ import annotations


class CicdError(Exception):
    """Base of every error that the system raises on purpose.

    Attributes:
        code: a stable word for programs, such as `not_found`.
        retryable: whether the same call, unchanged, may succeed later.
    """

    code: str = "error"
    retryable: bool = False

    def __init__(self, message: str, *, code: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable


class UserError(CicdError):
    """What was asked for cannot be done as asked: the asker has to change something."""

    code = "invalid"


class NotFoundError(UserError):
    """A name or an id that the system does not know."""

    code = "not_found"


class ConflictError(UserError):
    """What was asked for collides with what is there (a name that is taken, a run that has ended)."""

    code = "conflict"


class RefusedError(UserError):
    """The asker may not do this (wrong key, host not on the list)."""

    code = "refused"


class ProtocolError(CicdError):
    """The peer sent what the protocol does not allow."""

    code = "protocol"


class UnavailableError(CicdError):
    """Not now: a peer is away, a disk is full, a time limit passed. Try again."""

    code = "unavailable"
    retryable = True


class IllegalTransitionError(CicdError):
    """A bug of ours: a state machine was given an event that its table does not have.

    Attributes:
        machine: which machine, such as `job 01J...-3`.
        state: the state that it was in.
        event: the event that does not fit.
        history: the last events before it, oldest first.
    """

    code = "illegal_transition"

    def __init__(self, machine: str, state: str, event: str, history: tuple[str, ...] = ()) -> None:
        story = f" after {' > '.join(history)}" if history else ""
        super().__init__(f"{machine}: no transition for {event} in state {state}{story}")
        self.machine = machine
        self.state = state
        self.event = event
        self.history = history


_BY_CODE: dict[str, type[CicdError]] = {
    kind.code: kind
    for kind in (CicdError, UserError, NotFoundError, ConflictError, RefusedError, ProtocolError, UnavailableError)
}
_BY_CODE |= dict.fromkeys(("store_full", "disk"), UnavailableError)
"""Of parts that are not known here."""


def from_code(code: str, message: str, *, retryable: bool = False) -> CicdError:
    """Return the error that a peer sent as a code and a text; unknown codes become a plain `CicdError`."""
    return _BY_CODE.get(code, CicdError)(message, code=code, retryable=retryable)
