"""What `cicd dev` does: a cluster whose processes are started again when they die, and a folder that is run on a save.

Everything is a child of this process and below one folder; both are gone at its end, whichever signal ends it. After a
SIGKILL the processes are gone, too (the kernel sees to it), but the temporary folder stays.
"""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from cicd.cli import words
from cicd.cli.build_follow import report_build, wait_for_build
from cicd.cli.follow import RunFollower
from cicd.cli.output import Output
from cicd.cli.run_display import display_for
from cicd.cli.run_summary import print_summary, run_name
from cicd.cli.snapshots import BRANCH, Snapshots
from cicd.client import Client
from cicd.clock import SystemClock
from cicd.errors import CicdError, ConflictError, NotFoundError, UnavailableError, UserError
from cicd.messages.client import (
    CancelRun,
    CreatePipeline,
    PipelineAnswer,
    RecompilePipeline,
    RunAnswer,
    ShowPipeline,
    StartRun,
)
from cicd.messages.run import RunState
from cicd.testing.local_cluster import LocalCluster

LOOK_S = 0.5
"""How often the folder is looked at."""
EXIT_FAILED = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BAD_LOOKS = 6
"""Looks in a row that may fail: while files are being written, git can find them gone."""


class _EndedError(BaseException):
    """A signal asks for the end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _SavedError(Exception):
    """The folder has changed while a run was followed."""


class DevSession:
    """One `cicd dev`.

    Args:
        out: where to say things.
        minions: how many.
        slots: of each.
        state: folder to keep everything in; None: a temporary one.
    """

    def __init__(self, out: Output, *, minions: int, slots: int, state: Path | None) -> None:
        self._out = out
        self._minions = minions
        self._slots = slots
        self._state = state
        self._clock = SystemClock()
        self._looked_s = 0.0
        self._bad_looks = 0

    def run(self, folder: Path | None, path: str, params: dict[str, str], *, once: bool) -> int:
        """Do it all and return the exit code.

        Args:
            folder: whose pipeline is run; None: only the cluster.
            path: of the pipeline in the folder.
            params: of the runs.
            once: whether to end after the first run.
        """
        try:
            with _signals(), self._state_folder() as state:
                cluster = LocalCluster(state, minions=self._minions, slots=self._slots)
                with self._started(cluster), cluster.client() as client:
                    if folder is None:
                        while True:
                            self._pause(cluster, client)
                    snapshots = Snapshots(folder, state / "source.git", ignore=(state,))
                    return self._loop(_Work(folder, path, params), snapshots, cluster, client, once=once)
        except _EndedError as end:
            return 128 + end.number

    # ---- the cluster

    @contextmanager
    def _state_folder(self) -> Iterator[Path]:
        if self._state is not None:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield self._state.resolve()
            return
        state = Path(tempfile.mkdtemp(prefix="cicd-dev-"))
        try:
            yield state
        finally:
            _remove(state)

    @contextmanager
    def _started(self, cluster: LocalCluster) -> Iterator[None]:
        began_s = self._clock.boot_s()
        try:
            if self._out.is_terminal:
                with self._out.console().status("starting a cluster"):
                    cluster.start()
            else:
                cluster.start()
            took = words.duration(self._clock.boot_s() - began_s)
            self._announce(cluster, took)
            yield
        finally:
            # One end is enough: what would interrupt it is not heard until it is done, which takes seconds at most.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._out.note("stopping")
            cluster.stop()

    def _announce(self, cluster: LocalCluster, took: str) -> None:
        if self._out.as_json:
            self._out.json({"kind": "ready", "operator": str(cluster.operator_file), "endpoints": cluster.endpoints})
            return
        minions = words.count(self._minions, "minion")
        self._out.line(
            f"ready after {took}: a master and {minions} with {words.count(self._slots, 'slot')} each", "green"
        )
        self._out.line(f"  export CICD_OPERATOR={cluster.operator_file}")

    def _pause(self, cluster: LocalCluster, client: Client) -> None:
        for _ in client.events(LOOK_S):
            pass
        self._restart_dead(cluster)

    def _restart_dead(self, cluster: LocalCluster) -> bool:
        lines = cluster.restart_dead()
        for line in lines:
            self._out.note(f"{line}: started again")
        return bool(lines)

    # ---- the folder

    def _loop(self, work: _Work, snapshots: Snapshots, cluster: LocalCluster, client: Client, *, once: bool) -> int:
        snapshots.take()
        while True:
            try:
                code = self._build_and_run(work, snapshots, cluster, client, watch=not once)
            except _SavedError:
                continue
            except UnavailableError:
                # A call that was under way when the master died; one that lives and does not answer is no accident.
                if not self._restart_dead(cluster):
                    raise
                continue
            except UserError as error:
                if once:
                    raise
                self._out.complain(error.message, code=error.code)
            else:
                if once:
                    return code
            self._out.note(f"waiting for something to be saved in {work.folder}; Ctrl-C ends it")
            while not self._is_saved(snapshots):
                self._pause(cluster, client)

    def _build_and_run(
        self, work: _Work, snapshots: Snapshots, cluster: LocalCluster, client: Client, *, watch: bool
    ) -> int:
        view = self._begin_build(work, snapshots, client).view
        build = view.pipeline.build
        view = wait_for_build(self._out, client, work.name, build, tick=lambda: self._restart_dead(cluster))
        if not report_build(self._out, view, build):
            return EXIT_FAILED
        started = client.ask(StartRun(pipeline=work.name, params=work.params), RunAnswer).run

        def tick() -> None:
            self._restart_dead(cluster)
            if watch and self._is_saved(snapshots):
                raise _SavedError

        follower = RunFollower(client, started.id, display_for(self._out), self._clock, tick)
        try:
            ended = follower.follow()
        except _SavedError:
            self._out.note(f"saved: {run_name(started)} is cancelled, and another one started")
            with suppress(ConflictError):  # it may have ended just now
                client.call(CancelRun(run=started.id))
            raise
        if not self._out.as_json:
            print_summary(self._out, ended, follower.jobs)
        return 0 if ended.state is RunState.SUCCEEDED else EXIT_FAILED

    def _begin_build(self, work: _Work, snapshots: Snapshots, client: Client) -> PipelineAnswer:
        try:
            client.ask(ShowPipeline(name=work.name), PipelineAnswer)
        except NotFoundError:
            call = CreatePipeline(
                name=work.name,
                repo=str(snapshots.repository),
                ref=BRANCH,
                path=work.path,
                description=f"{work.folder} on this machine",
            )
            return client.ask(call, PipelineAnswer)
        return client.ask(RecompilePipeline(name=work.name), PipelineAnswer)

    def _is_saved(self, snapshots: Snapshots) -> bool:
        now_s = self._clock.boot_s()
        if now_s - self._looked_s < LOOK_S:
            return False
        try:
            commit = snapshots.take()
        except UserError:
            self._bad_looks += 1
            if self._bad_looks >= _BAD_LOOKS:
                raise
            return False
        finally:
            self._looked_s = self._clock.boot_s()
        self._bad_looks = 0
        return bool(commit)


class _Work:
    """A folder's pipeline."""

    def __init__(self, folder: Path, path: str, params: dict[str, str]) -> None:
        self.folder = folder
        self.path = path
        self.params = params
        named = folder.parent if folder.name == ".cicd" else folder
        self.name = re.sub(r"[^A-Za-z0-9._-]", "-", named.name).lstrip("._-")[:100] or "pipeline"


def pipeline_path(folder: Path) -> str:
    """Return where in a folder its pipeline is; nothing if there is none."""
    if (folder / ".cicd").is_dir():
        return ".cicd"
    return "." if any((folder / name).is_file() for name in ("pipeline.py", "cicd.toml")) else ""


@contextmanager
def _signals() -> Iterator[None]:
    def end(number: int, _frame: FrameType | None) -> None:
        raise _EndedError(number)

    previous = {number: signal.signal(number, end) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _remove(state: Path) -> None:
    def make_writable(_function: object, path: str, _error: object) -> None:
        parent = Path(path).parent
        try:
            parent.chmod(0o700)
            target = Path(path)
            if target.is_dir() and not target.is_symlink():
                target.chmod(0o700)
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)
        except OSError:
            return

    shutil.rmtree(state, onerror=make_writable)
    if state.exists():
        raise CicdError(f"{state} could not be removed whole: look who still writes there")
