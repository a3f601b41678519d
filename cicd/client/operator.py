"""The operator's file: where a master is, how it proves itself, and the key that opens its client socket.

The master writes one at its first start; whoever can read it can do everything with that master, so its mode is 0600
and others' eyes make it refused.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cicd.errors import UserError


class OperatorFileError(UserError):
    """The operator's file is absent, malformed, or others can read it."""

    code = "operator_file"


@dataclass(frozen=True, slots=True)
class Operator:
    """What an operator's file holds.

    Attributes:
        name: of the operator; what is done with this key is done under it.
        address: the master's client address.
        server_public: the master's public key, z85.
        public: the operator's own, z85.
        secret: to `public`, z85.
    """

    name: str
    address: str
    server_public: str
    public: str
    secret: str = field(repr=False)


def write_operator(path: Path, operator: Operator) -> None:
    """Write a new operator's file, mode 0600, whole or not at all.

    Raises:
        ConflictError: there is one.
        UserError: it cannot be written.
    """
    from cicd.transport.curve import KeyPair, save_key_file

    extra = {"name": operator.name, "address": operator.address, "server_public": operator.server_public}
    save_key_file(path, KeyPair(operator.public, operator.secret), extra)


def readdress_operator(path: Path, address: str) -> None:
    """Make an operator's file say where the master is now, if it does not: a master on a free port moves at each start.

    Raises:
        OperatorFileError: it cannot be read.
        UserError: it cannot be written.
    """
    old = read_operator(path)
    if old.address == address:
        return
    new = path.with_name(f".{path.name}.moved")
    new.unlink(missing_ok=True)
    write_operator(new, Operator(old.name, address, old.server_public, old.public, old.secret))
    os.replace(new, path)  # noqa: PTH105  named like what it does: it replaces


def read_operator(path: Path) -> Operator:
    """Return what an operator's file holds.

    Raises:
        OperatorFileError: it is absent, malformed, or others can read it.
    """
    from cicd.errors import NotFoundError
    from cicd.transport.curve import load_key_file

    try:
        file = load_key_file(path)
    except NotFoundError:
        raise OperatorFileError(
            f"no operator file {path}: start a master there, or name the file by --operator or CICD_OPERATOR"
        ) from None
    except UserError as error:
        raise OperatorFileError(error.message) from None
    name, address, server_public = (file.extra.get(key, "") for key in ("name", "address", "server_public"))
    if not (name and address and server_public):
        raise OperatorFileError(f"{path} is no operator file: name, address or server_public is missing")
    return Operator(name, address, server_public, file.keys.public, file.keys.secret)
