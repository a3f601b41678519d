"""What a jobhost is told by its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cicd.plugins.health_checks import HealthCheck


@dataclass(frozen=True)
class HostSettings:
    """What a jobhost is told.

    Attributes:
        slots: jobs at the same time. Whether there is room is the master's business; far more are refused.
        agent_command: program and arguments.
        agent_env: its environment.
        cancel_grace_s: between asking and killing a job, where the jobhost decides.
        keep_workspaces: whether folders of ended attempts stay.
        zygote_idle_s: how long a plugin stays loaded without an attempt.
        pass_env: names of this process's variables that jobs see.
        log_limit_bytes: most that an attempt may write to its log; 0: no limit.
        mask_files: files whose contents are masked in all logs.
        agent_restart_delay_s: between the agent's end and its next start.
        checks: self-checks.
        name: the minion's, for messages.
        job_quota_bytes: what an attempt's folder may take; 0: no limit.
        minion_quota_bytes: what the minion may keep altogether; 0: no limit.
        failed_workspaces_s: how long folders of failed attempts stay; 0: not at all.
    """

    slots: int
    agent_command: Sequence[str]
    agent_env: Mapping[str, str]
    cancel_grace_s: float = 10.0
    keep_workspaces: bool = False
    zygote_idle_s: float = 60.0
    pass_env: tuple[str, ...] = ()
    log_limit_bytes: int = 0
    mask_files: tuple[Path, ...] = ()
    agent_restart_delay_s: float = 0.5
    checks: tuple[HealthCheck, ...] = ()
    name: str = "this minion"
    job_quota_bytes: int = 0
    minion_quota_bytes: int = 0
    failed_workspaces_s: float = 0.0
