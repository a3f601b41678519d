"""The whole system on one machine, in front of your eyes: what `make demo` runs.

Turns `examples/service` into a git repository, starts a master and two minions as processes of their own, and then does
what you would do: the lines that begin with `$` are commands that you can type yourself. At the end everything is
stopped and removed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from cicd.errors import CicdError
from cicd.testing.local_cluster import LocalCluster

SERVICE = Path(__file__).resolve().with_name("service")
PIPELINE = "shortlinks"
BRANCH = "main"

console = Console(highlight=False)
started_s = time.monotonic()


def main() -> int:
    """Run the demo; return 0 when the pipeline's run succeeded, 1 when it failed."""
    parser = argparse.ArgumentParser(description="A cluster of three processes runs a pipeline from a git repository.")
    parser.add_argument("--break", dest="broken", action="store_true", help="break one of the service's tests first")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs and data behind")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that all is removed then, too
    # Its path is short because unix sockets lie below it.
    folder = Path(tempfile.mkdtemp(prefix="cicd-demo-"))
    try:
        return demo(folder, broken=options.broken)
    except CicdError as error:
        console.print(f"[red]the demo failed:[/] {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            console.print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def demo(folder: Path, *, broken: bool) -> int:
    """Do it all below a folder; return the exit code of `cicd run`."""
    repository = folder / "shortlinks"
    step("a git repository with a small service and its pipeline (.cicd/pipeline.py)")
    make_repository(repository, broken=broken)
    step("a master and two minions")
    with LocalCluster(folder / "cluster", minions=2, slots=2, master_overrides=shared_cache()) as cluster:
        env = {**os.environ, "CICD_OPERATOR": str(cluster.operator_file)}
        step("the pipeline: cloned, compiled, described")
        if cicd(env, "pipelines", "create", PIPELINE, str(repository), "--ref", BRANCH) != 0:
            return 1
        step("a run of it")
        code = cicd(env, "run", PIPELINE, "-p", "channel=dev", "--follow")
    step("stopped and removed")
    return code


def shared_cache() -> dict[str, dict[str, object]]:
    """Let builds use uv's usual cache, not one that is removed with the demo: the second time nothing is fetched."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uv"
    return {"compiler": {"build_env": {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(usual)}}}


def make_repository(repository: Path, *, broken: bool) -> None:
    """Copy the service and commit it."""
    shutil.copytree(SERVICE, repository, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    if broken:
        test = repository / "tests/unit/test_codes.py"
        test.write_text(test.read_text().replace('(58, "21")', '(58, "12")'))
    identity = ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
    git(repository, "init", "--quiet", f"--initial-branch={BRANCH}")
    git(repository, "add", ".")
    git(repository, *identity, "commit", "--quiet", "--message", "A service that makes long links short")


def git(repository: Path, *arguments: str) -> None:
    """Run git there."""
    subprocess.run(["git", *arguments], cwd=repository, check=True)  # noqa: S607  git as the user has it


def cicd(env: dict[str, str], *arguments: str) -> int:
    """Show a command, run it, and return its exit code."""
    console.print(f"[bold]$ cicd {shlex.join(arguments)}[/]", soft_wrap=True)
    return subprocess.run([sys.executable, "-m", "cicd", *arguments], env=env, check=False).returncode


def step(text: str) -> None:
    """Print a heading with the time."""
    console.print(f"\n[cyan]{time.monotonic() - started_s:5.1f} s  {text}[/]", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
