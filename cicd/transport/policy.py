"""Who may connect: a policy is asked for each handshake and names the user, or denies.

A policy runs on the authenticator's thread and must be quick. One that raises has denied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

Policy = Callable[[str, str], "str | None"]
"""(domain, client's public key in z85) -> user id, never empty; None: denied."""

MINION_DOMAIN = "cicd.minion"
"""Of the control and the bulk socket."""
ENROL_DOMAIN = "cicd.enrol"
"""Of the enrol socket, which the keys of join tokens open."""
CLIENT_DOMAIN = "cicd.client"
"""Of the client socket: an operator's key opens no minion socket, and the reverse."""

_MINION_USER = "minion/"


def minion_user(minion: str) -> str:
    """Return the user that a minion's own key proves."""
    return f"{_MINION_USER}{minion}"


def minion_of_user(user: str) -> str | None:
    """Return the minion whose own key proved this user; None: it was the key of a join token."""
    return user.removeprefix(_MINION_USER) if user.startswith(_MINION_USER) else None


def deny_all(domain: str, client_public: str) -> str | None:
    """Deny everybody: what a transport does until it is given a policy."""
    _ = domain, client_public
    return None


class KeyRing:
    """A policy that lets known keys in; keys come and go at run time, from any thread.

    A key that is removed opens no new connection; those that are open are cut by `Listener.cut`, if they shall be.
    """

    def __init__(self) -> None:
        self._users: Mapping[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def __call__(self, domain: str, client_public: str) -> str | None:
        """Return the key's user in this domain, or None."""
        return self._users.get((domain, client_public))

    def add(self, domain: str, client_public: str, user: str) -> None:
        """Let a key in as `user`."""
        with self._lock:
            self._users = {**self._users, (domain, client_public): user}

    def remove(self, domain: str, client_public: str) -> None:
        """Let a key in no more; one that is not there is no error."""
        with self._lock:
            self._users = {key: user for key, user in self._users.items() if key != (domain, client_public)}
