"""Plugin artifacts for tests, made by hand: the layout that the compiler makes, without building anything."""

from __future__ import annotations

import compileall
import json
import shutil
from pathlib import Path

import h2
import hpack
import hyperframe

import cicd_sdk


def make_sdk(folder: Path) -> Path:
    """Make a folder with the SDK and what it needs, compiled; plugins can share it."""
    for package in (cicd_sdk, h2, hpack, hyperframe):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=1)
    return folder


def make_plugin(folder: Path, code: str, sdk: Path) -> Path:
    """Make an artifact of a pipeline's code and a folder of `make_sdk`."""
    (folder / "app").mkdir(parents=True)
    (folder / "site" / "bin").mkdir(parents=True)
    (folder / "sdk").symlink_to(sdk)
    (folder / "app" / "pipeline.py").write_text(code)
    manifest = {"language": "python", "entry": "app/pipeline.py", "path": ["app", "site", "sdk"]}
    (folder / "plugin.json").write_text(json.dumps(manifest))
    return folder
