"""Writes the Python that comes from `proto/cicd/plugin/v1/pipeline.proto`.

    python proto/generate.py            writes the files
    python proto/generate.py --check    exits 1 when what is checked in differs, and names it

protoc (from grpcio-tools) only parses: the answer is a descriptor, and what is written comes from the templates here.
So the output does not change with protoc's version, and the host's module has none of the version guards that tie
protoc's own output to one major release of the protobuf runtime.

- `sdk/python/cicd_sdk/_messages.py`: the SDK's messages, for its own codec, without protobuf.
- `cicd/plugins/pb/pipeline_pb2.py` (and `.pyi`): the host's messages, for the official runtime.
- `cicd/plugins/pb/pipeline_grpc.py`: the host's client and the base of a server, for grpclib.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "cicd/plugin/v1/pipeline.proto"
sys.path.insert(0, str(ROOT / "proto"))

from templates import host, sdk  # noqa: E402 - beside this script, which is no package


def parse() -> FileDescriptorProto:
    """Return the descriptor of the contract, with its comments."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "descriptor")
        subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "proto"), "--include_source_info",
             f"--descriptor_set_out={out}", SOURCE],
            check=True,
        )  # fmt: skip
        return FileDescriptorSet.FromString(out.read_bytes()).file[0]


def formatted(code: str) -> str:
    """Return `code` as ruff formats it under the project's settings."""
    command = [sys.executable, "-m", "ruff", "format", "--config", str(ROOT / "pyproject.toml"), "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, check=True).stdout


def outputs() -> dict[Path, str]:
    """Return every generated file and its content."""
    file = parse()
    pb = ROOT / "cicd/plugins/pb"
    return {
        ROOT / "sdk/python/cicd_sdk/_messages.py": formatted(sdk.messages(file)),
        pb / "pipeline_pb2.py": formatted(host.messages(file)),
        pb / "pipeline_pb2.pyi": formatted(host.types(file)),
        pb / "pipeline_grpc.py": formatted(host.services(file)),
    }


def main() -> int:
    """Write the files, or compare them."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, code in outputs().items() if not path.exists() or path.read_text() != code]
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(outputs()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
