"""What the build host is told at its start: where to keep things, what may be cloned and how, time limits.

It is the first frame on the socketpair, as JSON: neither an argument (every user of the machine could read it) nor
the environment (every child would inherit it).
"""

import contextlib
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from cicd.errors import ProtocolError
from cicd.plugins.repository import GITHUB, Address, allowed


class HostCredential(msgspec.Struct, frozen=True, kw_only=True):
    """How to log in to one host of repositories; an empty text means not set.

    Attributes:
        host: `host`, or `host:port` for that port only.
        username: for https; `x-access-token` when empty, as GitHub wants it with a token.
        token_file: holds the token or password (https); readable by its owner only.
        ssh_key_file: the private key (ssh).
        known_hosts_file: the host keys that are accepted (ssh).
        ca_file: certificates to trust instead of the system's (https).
    """

    host: str
    username: str = ""
    token_file: str = ""
    ssh_key_file: str = ""
    known_hosts_file: str = ""
    ca_file: str = ""


_SECRET_LIMIT_BYTES = 64 * 1024


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the build host.

    Attributes:
        data_dir: absolute; sources, plugins, repositories, cache and tmp are made below it.
        allowed_hosts: hosts (or host:port) that repositories may be cloned from.
        allow_local: whether a path of this machine may be a repository.
        credentials: logins; the first whose host fits is used, one with a port before one without.
        build_timeout_s: of installing and packing.
        clone_timeout_s: of getting the repository and packing its tree.
        describe_timeout_s: of starting the plugin and asking it what it is.
        max_parallel_builds: builds at the same time.
        build_env: variables for the build (package index, proxy, certificates), over those of the master's environment.
        max_log_bytes: a build's log is cut there.
    """

    data_dir: str
    allowed_hosts: tuple[str, ...] = (GITHUB,)
    allow_local: bool = False
    credentials: tuple[HostCredential, ...] = ()
    build_timeout_s: float = 600.0
    clone_timeout_s: float = 300.0
    describe_timeout_s: float = 60.0
    max_parallel_builds: int = 2
    build_env: dict[str, str] = msgspec.field(default_factory=dict)
    max_log_bytes: int = 16 * 1024 * 1024

    def credential_for(self, address: Address) -> HostCredential:
        """Return the login for an address; an empty one if there is none."""
        fitting = [each for each in self.credentials if allowed(address, each.host)]
        fitting.sort(key=lambda each: each.host.strip().lower() == address.host)
        return fitting[0] if fitting else HostCredential(host=address.host)

    def secrets(self) -> list[bytes]:
        """Return what must be in no build's log: tokens, private keys, passwords in the addresses of `build_env`."""
        files = [Path(name) for each in self.credentials for name in (each.token_file, each.ssh_key_file) if name]
        found = []
        for path in files:
            with contextlib.suppress(OSError), path.open("rb") as file:  # whoever needs it says that it is missing
                found.append(file.read(_SECRET_LIMIT_BYTES))
        for value in self.build_env.values():
            with contextlib.suppress(ValueError):
                if password := urlsplit(value).password:
                    found.append(unquote_to_bytes(password))
        return found


def encode_settings(settings: BuildSettings) -> bytes:
    """Return settings as the first frame's content."""
    return msgspec.json.encode(settings)


def decode_settings(data: bytes) -> BuildSettings:
    """Return the settings in the first frame.

    Raises:
        ProtocolError: it holds none.
    """
    try:
        return msgspec.json.decode(data, type=BuildSettings)
    except ValueError as error:
        raise ProtocolError(f"not the build host's settings: {error}") from None
