"""Where the master can be reached, and the files that say so: `endpoints.json` and, for people, `operator.toml`."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from cicd.client.operator import Operator, readdress_operator, write_operator
from cicd.transport.base import Listener
from cicd.transport.curve import KeyPair

ENDPOINTS_FILE = "endpoints.json"
OPERATOR_FILE = "operator.toml"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses with real ports, as others dial them; `tap` empty: off."""

    control: str
    bulk: str
    client: str
    enrol: str = ""
    tap: str = ""

    @classmethod
    def of(
        cls, control: Listener, bulk: Listener, client: Listener, *, enrol: Listener, tap: str, advertise: str
    ) -> Self:
        """Return the endpoints of bound listeners; `advertise`: the host to dial, empty: each listener's own."""
        return cls(
            control=_dialled(control.address, advertise),
            bulk=_dialled(bulk.address, advertise),
            client=_dialled(client.address, advertise),
            enrol=_dialled(enrol.address, advertise),
            tap=tap,
        )

    def addresses(self) -> dict[str, str]:
        """Return the addresses that there are, by name."""
        return {name: address for name, address in asdict(self).items() if address}


def _dialled(address: str, advertise: str) -> str:
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if advertise:
        host = advertise
    elif host in {"0.0.0.0", "*", "[::]"}:  # noqa: S104  recognised, not bound
        host = socket.gethostname()
    return f"{scheme}://{host}:{port}"


def publish(data_dir: Path, endpoints: Endpoints, operator: str, server_public: str, keys: KeyPair) -> None:
    """Write both files; the operator's is made at the first start and follows the address later."""
    path = data_dir / OPERATOR_FILE
    if path.exists():
        readdress_operator(path, endpoints.client)
    else:
        write_operator(
            path,
            Operator(
                name=operator,
                address=endpoints.client,
                server_public=server_public,
                public=keys.public,
                secret=keys.secret,
            ),
        )
    # Last: whoever waits for the master waits for this file.
    temporary = data_dir / f".{ENDPOINTS_FILE}.new"
    temporary.write_text(json.dumps(endpoints.addresses()) + "\n", encoding="ascii")
    os.replace(temporary, data_dir / ENDPOINTS_FILE)  # noqa: PTH105  the atomic one, by its name
