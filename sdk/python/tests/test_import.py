"""What importing the SDK costs its users."""

import json
import subprocess
import sys
from pathlib import Path

import h2

import cicd_sdk

PROBE = """
import json, os, sys
fds = len(os.listdir("/proc/self/fd"))
import {module}
new = len(os.listdir("/proc/self/fd")) - fds
print(json.dumps([sorted(sys.modules), new, len(os.listdir("/proc/self/task"))]))
"""


def probe(module):
    paths = [str(Path(package.__file__).parents[1]) for package in (cicd_sdk, h2)]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + PROBE.format(module=module)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    modules, descriptors, threads = json.loads(done.stdout)
    return set(modules), descriptors, threads


def test_an_import_is_light():
    modules, descriptors, threads = probe("cicd_sdk")
    assert descriptors == 0
    assert threads == 1
    assert not modules & {"h2", "subprocess", "pathlib", "inspect", "argparse", "socket", "logging", "dataclasses"}


def test_serving_needs_h2_and_nothing_else():
    modules, descriptors, threads = probe("cicd_sdk._zygote_api")
    assert descriptors == 0
    assert threads == 1
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"__main__"}
    assert {name for name in foreign if not name.startswith("_")} == {"cicd_sdk", "h2", "hpack", "hyperframe"}
