"""A jobhost with real plugins, for the tests of it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cicd.testing.jobhost_lab import JobhostLab
from cicd.testing.plugin_folder import make_plugin, make_sdk


@pytest.fixture(scope="session")
def jobhost_things() -> Iterator[Path]:
    """Make a folder with a plugin, the SDK that plugins share, and a source tree."""
    # Not in the folder that each test is checked for leaks in.
    folder = Path(tempfile.mkdtemp(prefix="jh-", dir=os.environ["PYTEST_DEBUG_TEMPROOT"]))
    make_sdk(folder / "sdk")
    make_plugin(folder / "plugin", Path(__file__).with_name("jobhost_pipeline.py").read_text(), folder / "sdk")
    (folder / "source").mkdir()
    (folder / "source" / "README").write_text("read me\n")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab(jobhost_things: Path) -> Iterator[JobhostLab]:
    """Give a minion's jobhost that is not started yet."""
    lab = JobhostLab(jobhost_things)
    try:
        yield lab
    finally:
        lab.close()
