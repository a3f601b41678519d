"""A whole cluster on this machine, as real processes: one master, some minions, everything below one folder.

    with LocalCluster(Path("/tmp/cluster"), minions=2) as cluster, cluster.client() as client:
        client.ask(CreatePipeline(name="web", repo="/home/me/web"), PipelineAnswer)

The folder:

    master.toml  minion-1.toml ..   configurations, written at each start
    token                           the minions' join token
    master/  minion-1/ ..           data folders; master/operator.toml opens the master
    logs/master.log ..              what the processes said, over all of their starts

Ports are chosen once and kept, so that a master that was killed comes back where minions and clients look for it.
Nothing outlives the thread that started it, however that ends. A cluster whose folder is kept can be started again by
a new `LocalCluster`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cicd.clock import SystemClock
from cicd.testing.free_ports import free_ports
from cicd.testing.managed_process import ManagedProcess, ProcessEndedError
from cicd.testing.waiting import wait_until

if TYPE_CHECKING:
    from cicd.client import Client

START_S = 30.0
"""How long a process may take until it is ready; a loaded machine is slow."""
STOP_S = 10.0
"""How long a process may take to end by itself."""
_DEATHS, _DEATHS_S = 5, 30.0
"""More deaths than this in this time are no accident."""
_SOCKETS = ("control", "bulk", "client", "enrol")

Overrides = Mapping[str, Mapping[str, object]]


class LocalCluster:
    """A master and its minions; a context manager.

    Args:
        state_dir: folder for everything; made if it is not there. Its path should be short (unix sockets).
        minions: how many `start` starts: minion-1, minion-2, ...
        slots: of each minion.
        master_overrides: sections of the master's configuration, such as `{"cluster": {"lease_s": 5.0}}`.
        minion_overrides: the same, of every minion.
        python: the interpreter that has cicd installed.
        env: variables for all processes beside this one's own; those that configure cicd are never handed on.
        wrap: returns what goes before a process's own command at each start, by its name (`master`, `minion-1`):
            a tracer, `ip netns exec ..`. It has to keep the pid, or the process is not the one that is killed.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        minions: int = 2,
        slots: int = 2,
        master_overrides: Overrides | None = None,
        minion_overrides: Overrides | None = None,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
        wrap: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        from cicd.config import environment_names

        self.state_dir = state_dir.absolute()
        self.slots = slots
        self._minion_count = minions
        self._master_overrides = master_overrides or {}
        self._minion_overrides = minion_overrides or {}
        self._python = python
        hidden = environment_names() | {"CICD_OPERATOR"}
        self._wrap = wrap
        self._env = {key: value for key, value in os.environ.items() if key not in hidden} | dict(env or {})
        self._master: ManagedProcess | None = None
        self._minions: dict[str, ManagedProcess] = {}
        self._deaths: dict[str, list[float]] = {}

    # ---- all of it -------------------------------------------------------------------------------------

    def start(self, timeout_s: float = START_S) -> Self:
        """Start the master and the minions, and wait until all of them are ready.

        Raises:
            ProcessEndedError: one of them ended; the text holds the last lines of its log.
            TimeoutError: they are not ready in time.
        """
        try:
            self.start_master(timeout_s)
            names = [f"minion-{number}" for number in range(1, self._minion_count + 1)]
            for name in names:
                self.start_minion(name)
            self.wait_ready(len(names), timeout_s)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End the minions, then the master; who has not ended in time is killed. Again: nothing."""
        for minion in self._minions.values():
            minion.request_end()
        for minion in self._minions.values():
            minion.end(timeout_s)
        if self._master is not None:
            self._master.end(timeout_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Do nothing while every process that should run does.

        Raises:
            ProcessEndedError: one has died; the text holds the last lines of its log.
        """
        for process in self._processes():
            process.check()

    def restart_dead(self) -> list[str]:
        """Start again what has died, and return a line for each: its name and how it ended.

        Raises:
            ProcessEndedError: a process dies again and again; the text holds the last lines of its log.
        """
        lines = []
        now_s = SystemClock().boot_s()
        for process in self._processes():
            if process.has_died:
                deaths = self._deaths.setdefault(process.name, [])
                deaths[:] = [death_s for death_s in deaths if now_s - death_s < _DEATHS_S] + [now_s]
                if len(deaths) > _DEATHS:
                    process.check()
                lines.append(f"{process.name} ended {process.ending()}")
                process.start()
        return lines

    def wait_ready(self, count: int, timeout_s: float = START_S) -> None:
        """Wait until `count` minions are ready.

        Raises:
            ProcessEndedError: a process has died meanwhile.
            TimeoutError: they are not ready in time.
        """
        if count == 0:
            return
        from cicd.messages.client import ListMinions, MinionPage
        from cicd.messages.cluster import Connection

        with self.client() as client:

            def ready() -> bool:
                self.check()
                page = client.ask(ListMinions(), MinionPage, timeout_s=timeout_s)
                return sum(view.connection is Connection.READY for view in page.minions) >= count

            self._wait(ready, timeout_s, f"{count} ready minions")

    # ---- the master ------------------------------------------------------------------------------------

    @property
    def operator_file(self) -> Path:
        """The key that opens the master."""
        return self.state_dir / "master" / "operator.toml"

    def client(self) -> Client:
        """Return a new conversation with the master; close it, or use `with`."""
        from cicd.client import connect, read_operator

        return connect(read_operator(self.operator_file), connect_s=START_S)

    def start_master(self, timeout_s: float = START_S) -> None:
        """Start the master, unless it runs, and wait until it answers.

        Raises:
            ProcessEndedError: it ended; the text holds the last lines of its log.
            TimeoutError: it does not answer in time.
        """
        if self._master is None:
            self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._master = self._process("cicd.master", "master", self._master_config())
        endpoints = self._endpoints_file
        if not self._master.is_running:
            endpoints.unlink(missing_ok=True)
        self._master.start()

        def is_bound() -> bool:
            self.check()
            return endpoints.exists()

        self._wait(is_bound, timeout_s, "the master's addresses")
        self._ping(timeout_s)

    def kill_master(self, sig: int = signal.SIGKILL) -> None:
        """Send the master a signal; of one that ends it, wait for the end."""
        if self._master is not None:
            self._master.kill(sig)

    @property
    def master_pid(self) -> int:
        """The master's pid."""
        if self._master is None:
            raise ProcessEndedError("master does not run")
        return self._master.pid

    @property
    def endpoints(self) -> dict[str, str]:
        """Where the master listens: `control`, `bulk`, `client`, `enrol`."""
        addresses: dict[str, str] = json.loads(self._endpoints_file.read_text())
        return addresses

    # ---- the minions -----------------------------------------------------------------------------------

    @property
    def minion_names(self) -> list[str]:
        """The minions that were started, running or not."""
        return list(self._minions)

    def start_minion(self, name: str, overrides: Overrides | None = None) -> None:
        """Start a minion, a new one or one that has ended; `wait_ready` waits for it.

        Args:
            name: of the minion.
            overrides: sections of its configuration beside those of all minions; of a new one only.
        """
        if name not in self._minions:
            config = self._minion_config(name, overrides or {})
            self._minions[name] = self._process("cicd.minion", name, config)
        self._minions[name].start()

    def kill_minion(self, name: str, sig: int = signal.SIGKILL) -> None:
        """Send a minion a signal; of one that ends it, wait for the end."""
        self._minions[name].kill(sig)

    def minion_pid(self, name: str) -> int:
        """Return the pid of a minion (its jobhost)."""
        return self._minions[name].pid

    def agent_pid(self, name: str) -> int:
        """Return the pid of a minion's agent.

        Raises:
            ProcessEndedError: it has none now.
        """
        for thread in Path(f"/proc/{self.minion_pid(name)}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a process that ends meanwhile
                for child in thread.read_text().split():
                    if b"cicd.agent" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                        return int(child)
        raise ProcessEndedError(f"{name} has no agent now")

    def log_file(self, name: str) -> Path:
        """Return the file with what `master` or a minion said."""
        return self.state_dir / "logs" / f"{name}.log"

    # ---- inside ----------------------------------------------------------------------------------------

    @property
    def _endpoints_file(self) -> Path:
        return self.state_dir / "master" / "endpoints.json"

    def _processes(self) -> list[ManagedProcess]:
        return [*([self._master] if self._master else []), *self._minions.values()]

    def _wait(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        try:
            wait_until(condition, timeout_s, what)
        except TimeoutError as error:
            tails = "\n".join(f"{process.name}:\n{process.tail(8)}" for process in self._processes())
            raise TimeoutError(f"{error}\n{tails}") from None

    def _ping(self, timeout_s: float) -> None:
        from cicd.errors import UnavailableError
        from cicd.messages.client import Status, StatusAnswer

        with self.client() as client:

            def answers() -> bool:
                self.check()
                try:
                    client.ask(Status(), StatusAnswer, timeout_s=min(timeout_s, 1.0))
                except UnavailableError:
                    return False
                return True

            self._wait(answers, timeout_s, "the master's answer")

    def _process(self, module: str, name: str, config: Path) -> ManagedProcess:
        command = [self._python, "-P", "-m", module, "--config", str(config)]
        wrap = self._wrap
        return ManagedProcess(
            name,
            (lambda: [*wrap(name), *command]) if wrap is not None else command,
            log=self.log_file(name),
            folder=self.state_dir,
            env=self._env,
        )

    def _master_config(self) -> Path:
        ports = self._kept_ports() or free_ports(len(_SOCKETS))
        listen = {key: f"tcp://127.0.0.1:{port}" for key, port in zip(_SOCKETS, ports, strict=True)}
        base: dict[str, dict[str, object]] = {
            "master": {"data_dir": "master"},
            "listen": dict(listen),
            "compiler": {"allow_local": True},
        }
        return self._write("master", base, self._master_overrides)

    def _kept_ports(self) -> list[int]:
        """Return the ports of a cluster that lived in this folder before."""
        import tomllib

        try:
            listen = tomllib.loads((self.state_dir / "master.toml").read_text())["listen"]
            return [int(listen[key].rpartition(":")[2]) for key in _SOCKETS]
        except (OSError, ValueError, KeyError):
            return []

    def _minion_config(self, name: str, overrides: Overrides) -> Path:
        endpoints = self.endpoints
        base: dict[str, dict[str, object]] = {
            "minion": {"name": name, "data_dir": name, "slots": self.slots},
            "master": {
                "control": endpoints["control"],
                "bulk": endpoints["bulk"],
                "enrol": endpoints["enrol"],
                "token_file": str(self.token_file()),
            },
        }
        return self._write(name, base, self._minion_overrides, overrides)

    def token_file(self) -> Path:
        """Return the file with the minions' join token; the first call makes it."""
        path = self.state_dir / "token"
        if not path.exists():
            from cicd.messages.client import CreateToken, TokenAnswer

            with self.client() as client:
                token = client.ask(CreateToken(note="local cluster"), TokenAnswer).token
            partial = path.with_name(".token.new")
            partial.unlink(missing_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{token}\n")
            partial.replace(path)
        return path

    def _write(self, name: str, base: dict[str, dict[str, object]], *layers: Overrides) -> Path:
        from cicd.config.writing import dumps

        document: dict[str, Any] = base
        for layer in layers:
            for section, values in layer.items():
                document.setdefault(section, {}).update(values)
        path = self.state_dir / f"{name}.toml"
        path.write_text(dumps(document), encoding="utf-8")
        return path
