"""git's environment for one clone: which transports it may use, where its configuration comes from, and how it logs in.

The configuration of the machine and of its users plays no part, no hook runs, and no prompt waits for anybody. A
token is read by a small script when git asks for a password for the very host that it belongs to; it is in no
argument, no variable, no log. Redirects are not followed: an allow-list that a redirect leads past is none.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from cicd.errors import UserError
from cicd.plugins.build.settings import HostCredential
from cicd.plugins.repository import Address

_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.followRedirects": "false",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.credentialsInUrl": "die",
}

_ASKPASS = """#!/bin/sh
# git asks: Username for 'https://HOST': or Password for 'https://USER@HOST':
case "$1" in
    Username*"://"{host}"'"*) printf '%s\\n' {username} ;;
    Password*"@"{host}"'"*) cat {token_file} ;;
    *) exit 1 ;;
esac
"""


def git_environment(
    base: Mapping[str, str], address: Address, credential: HostCredential, work: Path
) -> dict[str, str]:
    """Return the whole environment for git.

    Args:
        base: PATH, HOME, proxies and the like.
        address: whom git will speak to.
        credential: the login for it.
        work: the build's own folder, for the askpass script.

    Raises:
        UserError: what the config would need to name, or what is wrong with a file that it names.
    """
    env = dict(base) | {
        "GIT_ALLOW_PROTOCOL": "file" if address.scheme == "file" else "https:ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_SSH_COMMAND": "/bin/false",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_COUNT": str(len(_CONFIG)),
    }
    for index, (key, value) in enumerate(_CONFIG.items()):
        env[f"GIT_CONFIG_KEY_{index}"] = key
        env[f"GIT_CONFIG_VALUE_{index}"] = value
    if address.scheme == "https":
        env |= _https(address, credential, work, env.get("SSL_CERT_FILE", ""))
    elif address.scheme == "ssh":
        env["GIT_SSH_COMMAND"] = _ssh_command(address, credential)
    return env


def _https(address: Address, credential: HostCredential, work: Path, system_ca: str) -> dict[str, str]:
    found: dict[str, str] = {}
    ca_file = credential.ca_file or system_ca
    if ca_file:
        found["GIT_SSL_CAINFO"] = str(_readable("ca_file", ca_file, private=False))
    if credential.token_file:
        token_file = _readable("token_file", credential.token_file, private=True)
        port = "" if address.port == 443 else f":{address.port}"  # noqa: PLR2004  the port of https
        script = work / "askpass"
        script.write_text(
            _ASKPASS.format(
                host=shlex.quote(f"{address.host}{port}"),
                username=shlex.quote(credential.username or "x-access-token"),
                token_file=shlex.quote(str(token_file)),
            )
        )
        script.chmod(0o700)
        found["GIT_ASKPASS"] = str(script)
    return found


def _ssh_command(address: Address, credential: HostCredential) -> str:
    if not credential.ssh_key_file or not credential.known_hosts_file:
        raise UserError(
            f"no ssh login for {address.host}: the config's compiler.credentials has to name its ssh_key_file "
            "and known_hosts_file"
        )
    key = _readable("ssh_key_file", credential.ssh_key_file, private=True)
    known = _readable("known_hosts_file", credential.known_hosts_file, private=False)
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "IdentityFile": _ssh_path(key),
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _ssh_path(known),
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": "30",
        "ServerAliveInterval": "15",
        "ForwardAgent": "no",
        "ControlMaster": "no",
        "PermitLocalCommand": "no",
    }
    words = ["ssh", "-F", "/dev/null"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return shlex.join(words)


def _ssh_path(path: Path) -> str:
    # ssh splits at spaces unless quoted, and expands % and ${}.
    if any(char in str(path) for char in '"\\$'):
        raise UserError(f"ssh cannot read a path with quotes, backslashes or dollars: {path}")
    return '"' + str(path).replace("%", "%%") + '"'


def _readable(key: str, name: str, *, private: bool) -> Path:
    path = Path(name)
    try:
        mode = path.stat().st_mode
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"compiler.credentials, {key}: {path}: {os.strerror(error.errno or 0)}") from None
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UserError(f"compiler.credentials, {key}: {path} can be read by others: chmod 600")
    return path.absolute()
