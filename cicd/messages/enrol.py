"""Enrolment: how a minion's own key becomes known to a master (DEALER to ROUTER, enrol socket).

    minion                                     master
    Enrol(minion, name, key)           ->                    again until answered
                                       <-      Enrolled(minion)      or EnrolRefused

The socket is opened by the key pair that is derived from a join token's secret, and by nothing else. Inside that
channel the minion hands in the public half of a pair that it made itself; with that pair it opens the control and the
bulk socket from then on, whatever becomes of the token. Asking again with the same key changes nothing.
"""

from cicd.messages.base import PROTOCOL_VERSION, ErrorReply, MinionId, Wire


class Enrol(Wire, frozen=True):
    """Let this key speak for this minion.

    Attributes:
        minion: as in `Hello`.
        name: as in `Hello`.
        key: the minion's public CURVE key, z85.
    """

    minion: MinionId
    name: str
    key: str
    hostname: str = ""
    version: str = ""
    protocol: int = PROTOCOL_VERSION


class Enrolled(Wire, frozen=True):
    """The key is stored: the work sockets let it in as this minion."""

    minion: MinionId


class EnrolRefused(Wire, frozen=True):
    """The key is not taken.

    Attributes:
        code: `protocol`, `malformed`, `token_unknown`, `token_expired`, `token_used_up`, `removed`, `key_taken`,
            `name_taken`, `id_taken`.
        text: for people, one line.
        retryable: whether the same may be accepted later.
    """

    code: str
    text: str
    retryable: bool = False


FROM_JOINER: tuple[type[Wire], ...] = (Enrol, ErrorReply)
"""What a master accepts on its enrol socket."""

TO_JOINER: tuple[type[Wire], ...] = (Enrolled, EnrolRefused, ErrorReply)
"""What a minion that enrols accepts."""
