"""Fixtures for whoever has `cicd` installed: pytest finds this module by its entry point.

Nothing of the system is imported before a fixture is asked for: a test suite that uses none of them starts as fast as
without the plugin.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cicd.testing.fake_clock import FakeClock
    from cicd.testing.local_cluster import LocalCluster


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still until the test moves it with `advance`."""
    from cicd.testing.fake_clock import FakeClock

    return FakeClock()


@pytest.fixture
def local_cluster() -> Iterator[LocalCluster]:
    """A master and two minions as real processes, ready; stopped and removed after the test."""
    from cicd.testing.local_cluster import LocalCluster

    # Not tmp_path: unix sockets lie below it, whose paths end at 107 bytes.
    with tempfile.TemporaryDirectory(prefix="cicd-") as folder, LocalCluster(Path(folder), minions=2) as cluster:
        yield cluster
