"""What a minion's interpreter and platform can run, as tags; the builder marks artifacts with the same words.

An artifact of pure Python carries none and runs anywhere. One with compiled extensions needs its interpreter's ABI
(`cp311-linux_x86_64`); one with programs only (wheel `py3-none-manylinux...`) needs the platform (`py3-linux_x86_64`).
"""

from __future__ import annotations

import platform
import sys
import sysconfig
from pathlib import Path


def abi_tag() -> str:
    """Return the tag of this interpreter and platform, such as `cp311-linux_x86_64`."""
    version = sys.version_info
    return f"cp{version.major}{version.minor}{sys.abiflags}-{_platform()}"


def platform_tag() -> str:
    """Return the tag of this platform under any Python 3, such as `py3-linux_x86_64`."""
    return f"py3-{_platform()}"


def minion_tags() -> tuple[str, ...]:
    """Return all that this interpreter here offers; a job runs where one of its plugin's tags is offered."""
    return (abi_tag(), platform_tag(), f"py3.{sys.version_info.minor}")


def tags_of_site(site: Path) -> tuple[str, ...]:
    """Return the tags that installed distributions ask for; empty: any interpreter on any platform.

    Args:
        site: folder that wheels were installed into.
    """
    if any(True for _ in site.rglob("*.so")):
        return (abi_tag(),)
    for wheel in site.glob("*.dist-info/WHEEL"):
        lines = wheel.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(line.startswith("Tag:") and not line.rstrip().endswith("-any") for line in lines):
            return (platform_tag(),)
    return ()


def _platform() -> str:
    # sysconfig says linux-x86_64 for every C library, but a wheel is built against one.
    name = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return name if platform.libc_ver()[0] == "glibc" else name.replace("linux", "musllinux", 1)
