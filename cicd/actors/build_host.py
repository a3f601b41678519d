"""The master's end of its build host: a child process that was started while the master still had one thread."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from cicd.actors.base import Inbox
from cicd.actors.crash import Die
from cicd.actors.local_link import LocalLink
from cicd.config import MasterConfig
from cicd.messages.base import Wire
from cicd.messages.build import TO_COMPILER
from cicd.plugins.build.settings import BuildSettings, HostCredential, encode_settings
from cicd.plugins.framing import encode_frame

_END_S = 10.0


class BuildHost:
    """Sends builds, and hands what comes back to the compiler's inbox.

    Args:
        process: the build host.
        sock: our end of its socketpair.
        die: called when it ends unasked.
    """

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket, inbox: Inbox[Wire], die: Die) -> None:
        self._process = process
        self._link = LocalLink(sock, TO_COMPILER, "build host", inbox.put, lambda error: die("build host", error))

    def start(self) -> None:
        """Begin to listen."""
        self._link.start()

    def send(self, message: Wire) -> None:
        """Say something to the build host."""
        self._link.send(message)

    def close(self) -> None:
        """End the build host with everything it runs."""
        self._link.close()
        try:
            self._process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def spawn_build_host(config: MasterConfig) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the build host and tell it its settings. To be called before any thread is started.

    Returns:
        The process and our end of the socketpair.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "cicd.plugins.build.host", "--fd", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
    ours.sendall(encode_frame(encode_settings(build_settings(config))))
    return process, ours


def build_settings(config: MasterConfig) -> BuildSettings:
    """Return what of the configuration is the build host's."""
    compiler = config.compiler
    return BuildSettings(
        data_dir=str(config.master.data_dir),
        allowed_hosts=compiler.allowed_hosts,
        allow_local=compiler.allow_local,
        credentials=tuple(
            HostCredential(
                host=login.host,
                username=login.username,
                token_file=_text(login.token_file),
                ssh_key_file=_text(login.ssh_key_file),
                known_hosts_file=_text(login.known_hosts_file),
                ca_file=_text(login.ca_file),
            )
            for login in compiler.credentials
        ),
        build_timeout_s=compiler.build_timeout_s,
        clone_timeout_s=compiler.clone_timeout_s,
        describe_timeout_s=compiler.describe_timeout_s,
        max_parallel_builds=compiler.max_parallel_builds,
        build_env=compiler.build_env,
    )


def _text(path: Path | None) -> str:
    return "" if path is None else str(path)
