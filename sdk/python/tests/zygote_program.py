"""A zygote in small: loads the SDK, perhaps the pipeline, forks once, and ends as its child does."""

import os
import sys

from cicd_sdk import _zygote_api

entry, folder, *wish = sys.argv[1:]
if wish and not _zygote_api.preload(entry):
    os.write(1, b"preload refused\n")
    sys.exit(3)
assert os.listdir("/proc/self/task") == [str(os.getpid())]  # noqa: PTH208 - names
if not os.fork():
    _zygote_api.serve_forked(entry, folder)
os.close(1)
os.close(2)
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
