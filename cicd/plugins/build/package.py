"""The package step: unpack the tree, build the folder that was named, pack the artifact.

python -m cicd.plugins.build.package WORK
"""

from __future__ import annotations

from pathlib import Path

from cicd.plugins.artifact import pack, unpack
from cicd.plugins.build import python_builder
from cicd.plugins.build.clone import source_place
from cicd.plugins.build.python_project import BuildError
from cicd.plugins.build.step import Packaged, Request, run_step

_NOT_YET = {"go.mod": "go", "cicd.toml": "custom (cicd.toml)"}


def package(request: Request, work: Path) -> Packaged:
    """Do the step.

    Raises:
        BuildError: what the author of the pipeline has to change, in one line.
    """
    tree = work / "tree"
    unpack(
        source_place(Path(request.settings.data_dir), request.source_digest), request.source_digest, tree, durable=False
    )
    folder = _folder(tree, request)
    print(f"building {request.source.path} with Python", flush=True)  # noqa: T201  the build's log
    built = python_builder.build(tree, folder, work / "artifact", work)
    packed = pack(work / "artifact", work / "plugin.tar")
    print(f"plugin {packed.digest} ({packed.size_bytes} bytes)")  # noqa: T201  the build's log
    return Packaged(
        digest=packed.digest,
        size_bytes=packed.size_bytes,
        language="python",
        requires_python=built.requires_python,
        tags=built.tags,
    )


def _folder(tree: Path, request: Request) -> Path:
    path, commit = request.source.path, request.commit[:12]
    folder = (tree / path).resolve()
    if not folder.is_relative_to(tree.resolve()):
        raise BuildError(f"{path!r} at commit {commit} is a symlink that leads out of the repository")
    if not folder.is_dir():
        raise BuildError(f"there is no folder {path!r} at commit {commit}")
    if (folder / "pyproject.toml").is_file() or (folder / "pipeline.py").is_file():
        return folder
    for name, language in _NOT_YET.items():
        if (folder / name).is_file():
            raise BuildError(f"not supported yet: language {language} ({path}/{name} at commit {commit})")
    raise BuildError(f"the folder {path!r} at commit {commit} has neither pyproject.toml nor pipeline.py")


if __name__ == "__main__":
    run_step("build", package)
