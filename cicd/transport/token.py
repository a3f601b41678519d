"""Join tokens: the one piece of text that a minion needs to trust a master and to be let in.

    cicd1.<server's public key>.<token id>.<256-bit secret>

Key and secret are base64url without padding. Whoever holds the text derives the CURVE key pair that opens the
master's minion sockets; the master keeps that pair's public key only. The server's key is given, never derived: else
any minion could pose as the master.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cicd.errors import UserError
from cicd.transport.curve import KEY_BYTES, KeyPair, from_z85, keypair_from_secret, to_z85

_VERSION = "cicd1"
_PARTS = 4
_ID = re.compile(r"[0-9a-z]{8,32}")
_ID_BYTES = 10
_INFO = b"cicd join token 1: "


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A token. Its secret is shown by `render` alone.

    Attributes:
        server_public: the master's public key in z85, to be pinned.
        id: names the token in lists and in `tokens revoke`.
        secret: 32 random bytes.
    """

    server_public: str
    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Return the token in a text; space around it is ignored.

        Raises:
            UserError: it is none; the message says why and never repeats it.
        """
        parts = text.strip().split(".")
        if parts[0] != _VERSION:
            raise UserError(f"not a join token: it must start with '{_VERSION}.'")
        if len(parts) != _PARTS:
            raise UserError(f"join token is cut or altered: it must have {_PARTS} parts, this one has {len(parts)}")
        if not _ID.fullmatch(parts[2]):
            raise UserError("join token is damaged: its id is malformed")
        server = _unpack(parts[1], "server key")
        return cls(to_z85(server), parts[2], _unpack(parts[3], "secret"))

    def render(self) -> str:
        """Return the whole token, secret and all."""
        return ".".join((_VERSION, _pack(from_z85(self.server_public)), self.id, _pack(self.secret)))

    def client_keys(self) -> KeyPair:
        """Return the key pair that a minion connects with."""
        return keypair_from_secret(self.secret, _INFO + self.id.encode())

    def __str__(self) -> str:
        return f"join token {self.id}"


def new_token(server_public: str, random_bytes: Callable[[int], bytes] = os.urandom) -> JoinToken:
    """Return a new token for the master with this public key (z85).

    Args:
        server_public: the key that minions will pin.
        random_bytes: returns n random bytes.

    Raises:
        UserError: `server_public` is no key.
    """
    from_z85(server_public)
    token_id = base64.b32hexencode(random_bytes(_ID_BYTES)).decode().lower()
    return JoinToken(server_public, token_id, random_bytes(KEY_BYTES))


def _pack(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unpack(text: str, what: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise UserError(f"join token is damaged: its {what} is not base64url") from None
    if len(raw) != KEY_BYTES or _pack(raw) != text:
        raise UserError(f"join token is damaged: its {what} has the wrong length")
    return raw
