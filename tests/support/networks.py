"""Hosts of a test's own on one machine: network namespaces, joined by pairs of virtual cables to the master's.

Only what this object made is removed. A direction is cut by a route into a black hole: packets vanish without a word,
as they do when a cable is pulled far away.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def missing() -> str:
    """Return why there can be no networks here; empty: there can."""
    if IP is None:
        return "ip is not installed (make deps)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"cicd-probe-{os.getpid()}"
    made = subprocess.run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces here: {made.stderr.strip()}"
    subprocess.run([IP, "netns", "del", name], check=True)
    return ""


class Networks:
    """A namespace for `master`, and one for each minion; a context manager.

    Args:
        minions: their names.
    """

    def __init__(self, minions: list[str]) -> None:
        self._tag = f"c{os.getpid()}"
        # Several may be made at the same time, by several processes.
        self._net = f"10.{100 + os.getpid() % 150}"
        self.master = f"{self._net}.255.1"
        """Where the master listens; reached from here and from each minion."""
        self._numbers = {name: number for number, name in enumerate(["master", *minions])}

    def namespace(self, name: str) -> str:
        """Return the namespace of `master` or a minion."""
        return f"{self._tag}-{self._numbers[name]}"

    def wrap(self, name: str) -> list[str]:
        """Return what runs a command in the namespace of `master` or a minion."""
        return [str(IP), "netns", "exec", self.namespace(name)]

    def __enter__(self) -> Self:
        try:
            for name in self._numbers:
                self._ip("netns", "add", self.namespace(name))
                self._in(name, "link", "set", "lo", "up")
            self._in("master", "addr", "add", f"{self.master}/32", "dev", "lo")
            for name in self._numbers:
                self._join(name)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _join(self, name: str) -> None:
        """Lay a cable between the master's namespace and a minion's; the master's own goes to this process's."""
        number = self._numbers[name]
        near, far = f"{self._tag}n{number}", f"{self._tag}f{number}"
        self._in("master", "link", "add", far, "type", "veth", "peer", "name", near)
        self._in("master", "addr", "add", f"{self._net}.{number}.1/30", "dev", far)
        self._in("master", "link", "set", far, "up")
        if name == "master":
            self._in("master", "link", "set", near, "netns", str(os.getpid()))
            self._ip("addr", "add", f"{self._net}.{number}.2/30", "dev", near)
            self._ip("link", "set", near, "up")
            self._ip("route", "add", self.master, "via", f"{self._net}.{number}.1")
        else:
            self._in("master", "link", "set", near, "netns", self.namespace(name))
            self._in(name, "addr", "add", f"{self._net}.{number}.2/30", "dev", near)
            self._in(name, "link", "set", near, "up")
            self._in(name, "route", "add", "default", "via", f"{self._net}.{number}.1")

    def cut(self, name: str, *, to_master: bool = True, to_minion: bool = True) -> None:
        """Let what a minion says, and what it is told, vanish."""
        if to_master:
            self._in(name, "route", "replace", "blackhole", self.master)
        if to_minion:
            self._in("master", "route", "replace", "blackhole", f"{self._net}.{self._numbers[name]}.2/32")

    def heal(self, name: str) -> None:
        """Join a minion again."""
        self._in(name, "route", "del", "blackhole", self.master, check=False)
        self._in("master", "route", "del", "blackhole", f"{self._net}.{self._numbers[name]}.2/32", check=False)

    def _remove(self) -> None:
        # By hand and first: what goes with its namespace goes some time later.
        self._ip("link", "del", f"{self._tag}n0", check=False)
        for name in self._numbers:
            self._ip("netns", "del", self.namespace(name), check=False)

    def _in(self, name: str, *arguments: str, check: bool = True) -> None:
        self._ip("-n", self.namespace(name), *arguments, check=check)

    def _ip(self, *arguments: str, check: bool = True) -> None:
        done = subprocess.run([str(IP), *arguments], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
