"""Loads a pipeline's file without running it as a program, and finds the pipeline in it."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from cicd_sdk import _pipeline
from cicd_sdk._pipeline import Pipeline
from cicd_sdk.errors import PipelineError

MODULE = "pipeline"


def load(entry: str) -> Pipeline:
    """Return the pipeline that a file declares; the file is executed once, as the module `pipeline`.

    Args:
        entry: the file's path.

    Raises:
        PipelineError: there is none in it, or there are several and none is held by the name `pipeline`.
        BaseException: whatever the file raises.
    """
    module = sys.modules.get(MODULE)
    if module is None or getattr(module, "__file__", None) != os.path.abspath(entry):  # noqa: PTH100 - as the loader writes it
        module = _execute(os.path.abspath(entry))  # noqa: PTH100 - the same
    held = getattr(module, "pipeline", None)
    if isinstance(held, Pipeline):
        return held
    if len(_pipeline.created) == 1:
        return _pipeline.created[0]
    name = os.path.basename(entry)  # noqa: PTH119 - a text
    if not _pipeline.created:
        raise PipelineError(f"{name} declares no pipeline: pipeline = cicd_sdk.Pipeline(...) is missing")
    names = ", ".join(repr(pipeline.name) for pipeline in _pipeline.created)
    raise PipelineError(f"{name} declares several pipelines ({names}): call the one to run `pipeline`")


def _execute(path: str) -> ModuleType:
    folder = os.path.dirname(path)  # noqa: PTH120 - for sys.path
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(MODULE, path)
    if spec is None or spec.loader is None:
        raise PipelineError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    try:
        with _pipeline.loading(path):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[MODULE]
        _pipeline.created.clear()
        raise
    return module
