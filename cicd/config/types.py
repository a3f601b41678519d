"""What both configurations share: the base of all sections, limits as types, and the sections `[log]` and `[tap]`."""

import re
from typing import Annotated, Literal, NamedTuple

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
"""A duration that must pass."""
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0, le=10_000_000)]
"""A duration that may be nothing."""
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
"""0 to 100."""
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]
"""An amount of disk; 0 where that is said to mean no limit."""
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Problem(NamedTuple):
    """What is wrong with a value that is well-formed by itself.

    Attributes:
        key: such as `cluster.lease_s`.
        text: for people.
        beside: other keys that the judgement rests on: if one of them is malformed, it is withheld.
    """

    key: str
    text: str
    beside: tuple[str, ...] = ()


_TCP = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._*-]+):(?P<port>\*|[0-9]{1,5})")
_ENROL_ABOVE_CONTROL = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of a configuration file."""


class Log(Section, frozen=True):
    """`[log]`: what a process says of itself, on stderr.

    Attributes:
        level: the least important level that is written.
        format: `console` for people, `json` for programs, `auto`: console on a terminal, else json.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Tap(Section, frozen=True):
    """`[tap]`: a socket that mirrors, redacted, what crosses the others.

    Attributes:
        enabled: whether it is open.
        address: `ipc://PATH`; after loading never empty (default: `tap.sock` in the data folder).
    """

    enabled: bool = False
    address: str = ""


def is_name(text: str) -> bool:
    """Return whether a text can name a minion or an operator: letters, digits, `.`, `_`, `-`, at most 63."""
    return _NAME.fullmatch(text) is not None


def split_tcp(address: str) -> tuple[str, int] | None:
    """Return host and port (0: any free one) of `tcp://HOST:PORT`, or None when it is no such address."""
    match = _TCP.fullmatch(address)
    if match is None:
        return None
    port = 0 if match["port"] == "*" else int(match["port"])
    return (match["host"], port) if port <= 65535 else None  # noqa: PLR2004  the last TCP port


def enrol_address(control: str) -> str:
    """Return where the enrol socket is unless it is said: 3 ports above control, at any free port if that is.

    Empty: control's address is none.
    """
    parts = split_tcp(control)
    if parts is None:
        return ""
    host, port = parts
    return f"tcp://{host}:{port + _ENROL_ABOVE_CONTROL}" if port else f"tcp://{host}:*"


def tap_problems(tap: Tap) -> list[Problem]:
    """Return what is wrong with a `[tap]` section."""
    if tap.address.startswith("ipc://") and len(tap.address) > len("ipc://"):
        path = tap.address.removeprefix("ipc://")
        if len(path.encode()) > 107:  # noqa: PLR2004  sun_path of unix(7), less its closing zero
            return [Problem("tap.address", f"{path!r} is longer than the 107 bytes that a unix socket's path may have")]
        return []
    return [Problem("tap.address", f"{tap.address!r} is not of the form ipc://PATH")]
