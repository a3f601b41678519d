"""Where things are when nobody says otherwise: data folders, names. Imports little: the command line asks it."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Literal


def default_data_dir(role: Literal["master", "minion"], env: Mapping[str, str]) -> Path:
    """Return /var/lib/cicd/ROLE for root; for others cicd/ROLE below XDG_STATE_HOME or ~/.local/state."""
    if os.geteuid() == 0:
        return Path("/var/lib/cicd") / role
    state = env.get("XDG_STATE_HOME", "")
    home = Path(env.get("HOME") or "/")
    return (Path(state) if state.startswith("/") else home / ".local/state") / "cicd" / role


def default_operator_file(env: Mapping[str, str]) -> Path:
    """Return the operator file that a master with the default data folder writes."""
    return default_data_dir("master", env) / "operator.toml"


def user_name() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return _as_name(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:  # a container with a bare uid
        return f"uid{os.geteuid()}"


def host_name() -> str:
    """Return this machine's name, in letters that a minion's name may have."""
    return _as_name(socket.gethostname())


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:63].lstrip("._-") or "unnamed"
