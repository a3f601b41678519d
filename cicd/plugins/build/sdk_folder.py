"""The Python SDK and what it needs, copied out of the installed system into an artifact.

Nothing of it is imported here: which files it has is read from where it is installed. A pipeline that brings h2 of
its own keeps that one, in the range that the SDK accepts (the builder's constraints see to it).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path, PurePosixPath

from cicd.errors import CicdError

SDK = "cicd_sdk"
SDK_NEEDS = ("h2", "hpack", "hyperframe")
CONSTRAINTS = ("h2>=4.1,<5", "hpack>=4.0,<5", "hyperframe>=6.0,<7")
"""For whatever the pipeline itself installs of these."""


def copy_sdk(folder: Path, *, with_needs: bool) -> None:
    """Fill a new folder with the SDK.

    Args:
        folder: it must not exist.
        with_needs: whether h2 and what it needs come too.

    Raises:
        CicdError: code `internal`: the installed system lacks a part.
    """
    spec = importlib.util.find_spec(SDK)
    if spec is None or spec.origin is None:
        raise CicdError(f"the package {SDK} is not installed beside this system", code="internal")
    shutil.copytree(Path(spec.origin).parent, folder / SDK, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in SDK_NEEDS if with_needs else ():
        _copy_distribution(name, folder)


def _copy_distribution(name: str, folder: Path) -> None:
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise CicdError(f"the package {name} is not installed beside this system", code="internal") from None
    for file in distribution.files or ():
        if _wanted(PurePosixPath(file), name):
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


def _wanted(file: PurePosixPath, name: str) -> bool:
    """The package's own files, and the licence and name that have to travel with it."""
    if ".." in file.parts or file.suffix == ".pyc":
        return False
    top = file.parts[0]
    return top == name or (top.endswith(".dist-info") and (file.name == "METADATA" or "LICENSE" in file.name.upper()))
