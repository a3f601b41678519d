"""The command line, run in this process against a scripted master over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from cicd.cli import cli
from cicd.client import Operator, write_operator
from cicd.clock import SystemClock
from cicd.transport.zmq_transport import ZmqTransport
from client_peer import Peer


class CliPeer(Peer):
    """A scripted master on a free port, and the command line pointed at it."""

    operator_file: Path

    def write_operator(self, path: Path) -> None:
        self.operator_file = path
        operator = Operator("alice", self.address, self.keys.public, self.client_keys.public, self.client_keys.secret)
        write_operator(path, operator)

    def cicd(self, *arguments: str, **extra: str) -> Result:
        env = {"CICD_OPERATOR": str(self.operator_file), "COLUMNS": "200", **extra}
        return CliRunner().invoke(cli, arguments, env=env)


@contextmanager
def cli_peer(folder: Path) -> Iterator[CliPeer]:
    transport = ZmqTransport(SystemClock())
    peer = CliPeer(transport, "tcp://127.0.0.1:*")
    try:
        peer.up()
        peer.write_operator(folder / "operator.toml")
        yield peer
    finally:
        peer.down()
        transport.close()
