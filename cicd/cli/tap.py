"""`cicd tap`: prints what crosses the sockets of a process that has its tap on."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.messages.tap import TapRecord


@click.command()
@click.option("--address", default="", help="ipc://PATH of a tap; default: the master's, if it is on this machine.")
@click.option("--minion", "peers", multiple=True, help="Only from and to this minion; can be given often.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind of message, such as RunJob; can be given often.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Append the records to FILE, as JSON.")
@common
@pass_settings
def tap(settings: Settings, address: str, peers: tuple[str, ...], kinds: tuple[str, ...], record: Path | None) -> None:
    """Print what crosses a process's sockets, until Ctrl-C: kinds, ids, sizes, times, never contents.

    The process must have [tap] enabled = true, run on this machine and as this user.
    """
    import json
    from contextlib import ExitStack

    from cicd.clock import SystemClock
    from cicd.codec import to_plain
    from cicd.transport.tap_reader import TapFilter, TapReader
    from cicd.transport.zmq_transport import ZmqTransport

    address = address or _address_of_master(settings)
    with ExitStack() as stack:
        file: IO[str] | None = stack.enter_context(record.open("a", encoding="utf-8")) if record else None
        transport = ZmqTransport(SystemClock())
        stack.callback(transport.close)
        wanted = TapFilter(peers=peers, kinds=kinds)
        reader = stack.enter_context(TapReader(transport.context, address, wanted))
        settings.out.note(f"reading {address}; Ctrl-C ends it")
        for item in reader:
            if file is not None:
                file.write(f"{json.dumps(to_plain(item))}\n")
                file.flush()
            if settings.as_json:
                settings.out.json(item)
            else:
                settings.out.line(line(item))


def _address_of_master(settings: Settings) -> str:
    from cicd.errors import UserError
    from cicd.messages.client import Status, StatusAnswer

    with settings.client() as client:
        address = client.ask(Status(), StatusAnswer).endpoints.get("tap", "")
    if not address:
        raise UserError("the master's tap is off: set [tap] enabled = true in its configuration and start it again")
    return address


def line(record: TapRecord) -> str:
    """Return a record as a line: time, socket, direction, peer, kind, size, latency, ids."""
    from cicd.cli import words

    seconds = record.time_s % 86_400
    time = f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:06.3f}"
    arrow = "->" if record.direction == "out" else "<-"
    latency = f" {record.latency_s * 1000:.1f} ms" if record.latency_s >= 0 else ""
    ids = "".join(f" {key}={value}" for key, value in sorted(record.ids.items()))
    size = words.size(record.size_bytes)
    return f"{time} {record.socket:<7} {arrow} {record.peer or '-':<16} {record.kind:<14} {size:>9}{latency}{ids}"
