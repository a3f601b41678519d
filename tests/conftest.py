"""For every test: nothing may be left behind, and on request a skipped test is a failed one."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cicd.testing.waiting import wait_until

_SETTLE_S = 5.0
"""How long what a test has ended may take to be gone."""

_HARMLESS_FDS = ("/dev/urandom", "/dev/null", "/proc/", "/sys/", "anon_inode:[eventfd]")
"""Opened once by a library and kept: randomness, psutil's files, grpcio's and ZeroMQ's wake-up descriptors."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        default=bool(os.environ.get("CI")),
        help="a skipped test is a failed one (the default where CI is set)",
    )
    parser.addoption(
        "--full",
        action="store_true",
        help="fault, fuzz and load tests in their full size (make fault), not the short one",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "leaks(kind, why): the test may leave something of this kind behind, for this reason"
    )
    # Temporary folders of this process go into one of its own, so that another's are not taken for a leak. Its name is
    # short: a unix socket's path ends at 107 bytes. pytest's own folders stay where they always are.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    own = tempfile.mkdtemp(prefix="ct-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"])
    previous = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = own

    def restore() -> None:
        tempfile.tempdir = None
        os.environ.pop("TMPDIR")
        if previous is not None:
            os.environ["TMPDIR"] = previous
        shutil.rmtree(own, ignore_errors=True)

    config.add_cleanup(restore)


# ---- skips ---------------------------------------------------------------------------------------------


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which --no-skips (or CI) does not allow: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report, collector.config)
    return report


# ---- leaks ---------------------------------------------------------------------------------------------


def _threads() -> dict[str, object]:
    return {f"{thread.name} ({thread.ident})": thread for thread in threading.enumerate()}


def _processes() -> dict[str, object]:
    """Return this process's children, dead ones that were not waited for too."""
    found: dict[str, object] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            if not task.exists():  # the thread has ended meanwhile
                continue
            raise  # a kernel without this file cannot be checked, and says so
        for pid in children:
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except FileNotFoundError:
                continue
            found[f"{pid} {command[:200] or '(a zombie)'}"] = pid
    return found


def _descriptors() -> dict[str, object]:
    found: dict[str, object] = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            continue
        if not target.startswith(_HARMLESS_FDS):
            found[f"{path.name} -> {target}"] = path
    return found


def _actors() -> dict[str, object]:
    pykka = sys.modules.get("pykka")
    return {str(actor): actor for actor in pykka.ActorRegistry.get_all()} if pykka else {}


def _folders() -> dict[str, object]:
    return {path.name: path for path in Path(tempfile.gettempdir()).iterdir()}


def _end(left: dict[str, list[str]]) -> None:
    """End what would keep the suite from ending, or outlive it."""
    if left.get("actor"):
        sys.modules["pykka"].ActorRegistry.stop_all(block=False)
    for name in left.get("process", ()):
        with suppress(ProcessLookupError):
            os.kill(int(name.split()[0]), signal.SIGKILL)


_LOOKS = {
    "actor": _actors,
    "thread": _threads,
    "process": _processes,
    "descriptor": _descriptors,
    "folder": _folders,
}


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves behind a thread, child process, descriptor, actor or temporary folder."""
    allowed = {mark.args[0] for mark in request.node.iter_markers("leaks")}
    looks = {kind: look for kind, look in _LOOKS.items() if kind not in allowed}
    before = {kind: look() for kind, look in looks.items()}
    yield
    left: dict[str, list[str]] = {}

    def clean() -> bool:
        left.clear()
        for kind, look in looks.items():
            if new := sorted(set(look()) - set(before[kind])):
                left[kind] = new
        if left:
            gc.collect()  # what only a cycle holds is gone when it is next looked for
        return not left

    with suppress(TimeoutError):
        wait_until(clean, _SETTLE_S)
    if left:
        _end(left)
        story = "; ".join(f"{kind} {name}" for kind, names in left.items() for name in names)
        pytest.fail(f"left behind: {story}", pytrace=False)


# ---- sizes and figures ---------------------------------------------------------------------------------


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Return the short or, with --full, the full size of a run: `size(short, full)`."""
    full: bool = request.config.getoption("--full")
    return lambda short, long: long if full else short


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Note what was measured, as one line of JSON: printed, and appended to the file that CICD_FIGURES names."""

    def note(case: str, **values: object) -> None:
        line = json.dumps({"case": case, **values})
        sys.stdout.write(f"\n{line}\n")
        path = os.environ.get("CICD_FIGURES")
        if path:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    return note


# ---- places --------------------------------------------------------------------------------------------


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for the unix sockets of a whole cluster below it."""
    with tempfile.TemporaryDirectory(prefix="s", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def installed_python() -> str:
    """The interpreter of the environment into which the built wheel is installed, else the one that runs the tests."""
    python = os.environ.get("CICD_TEST_PYTHON")
    if python is None:
        warn = "CICD_TEST_PYTHON is not set: end-to-end tests run this checkout, not the built wheel (make test does)"
        sys.stderr.write(f"\n{warn}\n")
        return sys.executable
    if not Path(python).exists():
        pytest.fail(f"CICD_TEST_PYTHON names {python}, which is not there: make wheel-env")
    return python
