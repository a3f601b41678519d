"""A warm single-threaded process that forks, as a minion's zygote does: `python -m bench.zygote COUNT`.

Prints the seconds of each fork, from the call until the child's first byte has arrived, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

import cicd_sdk


def fork_once() -> float:
    """Return the seconds until a forked child has spoken."""
    reading, writing = os.pipe()
    begin = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"x")
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    taken = time.perf_counter() - begin
    os.close(reading)
    os.waitpid(pid, 0)
    return taken


if __name__ == "__main__":
    assert cicd_sdk.__version__  # imported so that the process has a plugin's size
    gc.collect()
    gc.freeze()
    print(json.dumps([fork_once() for _ in range(int(sys.argv[1]))]))
