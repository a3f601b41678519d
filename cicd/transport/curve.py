"""CURVE keys: made, derived from a secret, kept in files that only their owner can read.

Keys travel as z85 text of 40 characters, as ZeroMQ wants them. Source: https://rfc.zeromq.org/spec/32/
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from cicd.errors import ConflictError, NotFoundError, UserError

KEY_BYTES = 32
"""Length of a raw key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair in z85. The secret is not shown by `repr`."""

    public: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file holds: the pair, and words beside it such as the server's address."""

    keys: KeyPair
    extra: Mapping[str, str]


def new_keypair() -> KeyPair:
    """Return a random key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


def keypair_from_secret(secret: bytes, info: bytes) -> KeyPair:
    """Return the key pair that everyone who knows the secret derives: HKDF-SHA256, no salt.

    Args:
        secret: at least 256 bits of randomness.
        info: says what the pair is for; another info gives another pair.

    Source: RFC 5869.
    """
    # Late: loading the library takes longer than all else that a command line without a token does.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    raw = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)
    text = to_z85(raw)
    return KeyPair(zmq.curve_public(text.encode()).decode(), text)


def to_z85(raw: bytes) -> str:
    """Return a raw key of 32 bytes as text."""
    encoded: bytes = z85.encode(raw)
    return encoded.decode()


def from_z85(text: str) -> bytes:
    """Return the 32 raw bytes of a key.

    Raises:
        UserError: it is no z85 text of a key.
    """
    try:
        raw: bytes = z85.decode(text.encode("ascii"))
    except (KeyError, ValueError, ArithmeticError):
        raise UserError("not a CURVE key in z85") from None
    except Exception as error:
        # The library packs numbers with `struct`, whose error is no ValueError.
        raise UserError("not a CURVE key in z85") from error
    if len(raw) != KEY_BYTES or to_z85(raw) != text:
        raise UserError("not a CURVE key in z85")
    return raw


def save_key_file(path: Path, keys: KeyPair, extra: Mapping[str, str] | None = None) -> None:
    """Write a new key file of mode 0600: whole and durable, or not at all.

    Args:
        path: must not exist; its folder must.
        keys: the pair.
        extra: words to keep beside it; values without control characters.

    Raises:
        ConflictError: the file exists.
        UserError: it cannot be written.
    """
    values = {"public": keys.public, "secret": keys.secret, **(extra or {})}
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items()]
    text = "# A cicd key. Whoever can read this file can pose as its owner.\n" + "".join(lines)
    try:
        # Exclusive, with mode 0600 and a name of its own.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # A link never replaces a file that is there, and what it names is complete.
            os.link(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        raise ConflictError(f"key file {path} exists already") from None
    except OSError as error:
        raise UserError(f"cannot write key file {path}: {error.strerror}") from error


def load_key_file(path: Path) -> KeyFile:
    """Return a key file's content.

    Raises:
        NotFoundError: there is no such file.
        UserError: others than its owner can read or change it, or it holds no key pair.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read()
    except FileNotFoundError:
        raise NotFoundError(f"there is no key file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise UserError(f"key file {path} has mode {mode:04o}: others can read it. Run: chmod 600 {path}")
    try:
        values = tomllib.loads(data.decode())
        public, secret = str(values.pop("public")), str(values.pop("secret"))
        from_z85(secret)
        matches = zmq.curve_public(secret.encode()).decode() == public
    except (ValueError, KeyError, UserError):
        raise UserError(f"key file {path} is damaged: it holds no key pair") from None
    if not matches:
        raise UserError(f"key file {path} is damaged: its public key does not belong to its secret key")
    return KeyFile(KeyPair(public, secret), {name: str(value) for name, value in values.items()})


def load_or_create_keys(path: Path) -> KeyPair:
    """Return the pair in a key file; the first call makes it."""
    try:
        return load_key_file(path).keys
    except NotFoundError:
        pass
    with contextlib.suppress(ConflictError):  # another process was quicker: its pair counts
        save_key_file(path, new_keypair())
    return load_key_file(path).keys


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
