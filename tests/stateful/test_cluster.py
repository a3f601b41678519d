"""Long random histories of a cluster; what happens in them, and what is checked, says `cluster_machine`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from cluster_machine import ClusterMachine

ClusterMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCluster = pytest.mark.timeout(600)(ClusterMachine.TestCase)  # ten seconds of work, on a machine that may be busy
