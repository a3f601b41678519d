"""First file of every Python process on the far side: `python -I -S bootstrap.py MODE ...`.

    zygote PARENT_PID FD ARTIFACT PRELOAD    warm interpreter for an artifact
    serve ARTIFACT                           one plugin process, without a zygote (Describe)
    run FD                                   a reaper around any command; its settings are FD's first packet
    remove FOLDER...                         remove folders, where a large one must not block
    measure FOLDER PARENT_PID                measure a minion's data folder, again and again

PRELOAD is 1, or 0: the SDK only, the user's code is left to each attempt.
"""

# ruff: noqa: PTH100, PTH118, PTH120, PTH123  pathlib is not worth its import here

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

_FOLDER = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = "_cicd_child"
_INTERPRETER = (sys.executable, "-I", "-S")
_SDK = "cicd_sdk._zygote_api"
"""The artifact's own."""


def _load_package() -> ModuleType:
    """Make this folder importable under a name that nobody else uses, and without adding to `sys.path`."""
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, os.path.join(_FOLDER, "__init__.py"), submodule_search_locations=[_FOLDER]
    )
    assert spec is not None  # noqa: S101  the file is beside this one
    assert spec.loader is not None  # noqa: S101  the same
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)
    return package


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{_PACKAGE}.{name}")


def _enter(artifact: str) -> str:
    """Put an artifact's folders on `sys.path`; return its entry file."""
    with open(os.path.join(artifact, "plugin.json"), "rb") as file:
        manifest = json.load(file)
    sys.path[:0] = [os.path.join(artifact, folder) for folder in manifest["path"]]
    # An artifact is named by what is in it: nothing may be added.
    sys.dont_write_bytecode = True
    return os.path.join(artifact, manifest["entry"])


def _zygote(parent: str, descriptor: str, artifact: str, with_user_code: str) -> NoReturn:
    _module("kernel").die_with_parent(int(parent))
    entry = _enter(artifact)
    link = socket.socket(fileno=int(descriptor))
    link.set_inheritable(False)

    def preload() -> bool:
        sdk = importlib.import_module(_SDK)
        if with_user_code == "0":
            return False
        if sdk.preload(entry):
            return True
        # The import failed, or left threads or descriptors behind: begin anew without it. Requests wait in the socket.
        _module("tree").kill_below(os.getpid())
        os.set_inheritable(link.fileno(), True)  # noqa: FBT003  the standard library's signature
        argv = [*_INTERPRETER, __file__, "zygote", parent, descriptor, artifact, "0"]
        return os.execv(argv[0], argv)  # noqa: S606  without a shell is the point

    def serve(socket_dir: str) -> NoReturn:
        importlib.import_module(_SDK).serve_forked(entry, socket_dir)
        os._exit(1)

    _module("zygote").main(link, preload, serve)
    os._exit(0)


def _serve(artifact: str) -> NoReturn:
    entry = _enter(artifact)
    importlib.import_module(_SDK).serve_forked(entry, os.environ["PLUGIN_UNIX_SOCKET_DIR"])
    os._exit(1)


def _run(descriptor: str) -> NoReturn:
    control, job, reaper = _module("control"), _module("job"), _module("reaper")
    link = socket.socket(fileno=int(descriptor))
    link.set_inheritable(False)
    settings = control.unpack(link.recv(control.PACKET_BYTES))
    own = os.getpid()

    def execute() -> NoReturn:
        argv = settings["argv"]
        os.execvpe(argv[0], argv, settings["env"])  # noqa: S606  without a shell is the point

    def start() -> NoReturn:
        job.start(settings, 1, link, own, execute)
        os._exit(1)

    reaper.Reaper(link, settings.get("deadline", 0.0)).run(start)
    os._exit(0)


def _measure(folder: str, parent: str) -> NoReturn:
    _module("measure").main(folder, parent)
    os._exit(0)


_MODES: dict[str, Callable[..., NoReturn]] = {"zygote": _zygote, "serve": _serve, "run": _run, "measure": _measure}


def main(arguments: list[str]) -> None:
    """Do what the command line says; most modes do not return."""
    _load_package()
    mode, *rest = arguments
    if mode == "remove":
        for folder in rest:
            _module("workspace").remove_tree(folder)
    else:
        _MODES[mode](*rest)


if __name__ == "__main__":
    main(sys.argv[1:])
