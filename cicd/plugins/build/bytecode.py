"""Compiles an artifact's Python files, in a process that does nothing else: `python -S -s -P bytecode.py FOLDER`.

The same files must give the same bytes. So: hashes of the source instead of its times, paths from the artifact's
root, one process and one order (marshal writes whether an object is shared, and what is shared depends on what was
compiled before), and a fixed hash seed (the builder's environment has it). Unchecked: an artifact is never edited.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import sys


def main(folder: str) -> None:
    """Compile everything below a folder; a file that is not Python of this version is left as source."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                compileall.compile_file(
                    os.path.join(parent, name),  # noqa: PTH118  compileall takes text
                    stripdir=folder,
                    quiet=2,
                    force=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )


if __name__ == "__main__":
    main(sys.argv[1])
