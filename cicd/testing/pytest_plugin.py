"""Fixtures for whoever has `cicd` installed: pytest finds this module by its entry point.

Nothing of the system is imported before a fixture is asked for: a test suite that uses none of them starts as fast as
without the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cicd.testing.fake_clock import FakeClock


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still until the test moves it with `advance`."""
    from cicd.testing.fake_clock import FakeClock

    return FakeClock()
