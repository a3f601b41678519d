"""Entry point of a minion: the jobhost, which starts the agent and every job.

    python -m cicd.minion --config FILE

SIGTERM and SIGINT end it: jobs are asked to stop, get `jobs.cancel_grace_s`, and are given up; again: at once. A drain
(`cicd minions drain`) lets them finish first.

Exit codes: 0 ended by a signal, or drained; 2 wrong arguments or configuration; 3 the agent gave up: the master will
not have this minion; 4 it may not run here (another minion uses the data folder); 70 a bug.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cicd.clock import SystemClock
from cicd.config import ConfigError, MinionConfig, arguments, load_minion
from cicd.errors import CicdError
from cicd.logs import set_up_logs
from cicd.plugins.data_folder import DataFolder
from cicd.plugins.health_checks import HealthCheck
from cicd.plugins.host_settings import HostSettings
from cicd.plugins.jobhost import JobHost

EXIT_CONFIG = 2
EXIT_REFUSED = 4

AGENT_COMMAND = (sys.executable, "-m", "cicd.agent")


def settings_of(config: MinionConfig, config_file: Path | None, overrides: dict[str, object]) -> HostSettings:
    """Return what the jobhost is told; the agent reads the same file, and hears of flags by its environment."""
    file = ("--config", str(config_file)) if config_file is not None else ()
    flags = {f"CICD_{key.replace('.', '_').upper()}": str(value) for key, value in overrides.items()}
    return HostSettings(
        name=config.minion.name,
        job_quota_bytes=config.quota.job_bytes,
        minion_quota_bytes=config.quota.minion_bytes,
        failed_workspaces_s=config.retention.failed_workspaces_h * 3600,
        slots=config.minion.slots,
        cancel_grace_s=config.jobs.cancel_grace_s,
        keep_workspaces=config.jobs.keep_workspaces,
        zygote_idle_s=config.jobs.zygote_idle_s,
        pass_env=config.jobs.pass_env,
        log_limit_bytes=config.logs.limit_bytes,
        mask_files=config.logs.mask_files,
        agent_command=(*(config.agent.command or AGENT_COMMAND), *file),
        agent_env={**os.environ, **flags},
        agent_restart_delay_s=config.agent.restart_delay_s,
        checks=tuple(
            HealthCheck(name=check.name, command=check.command, every_s=check.every_s, timeout_s=check.timeout_s)
            for check in config.health.checks
        ),
    )


async def serve(folder: DataFolder, settings: HostSettings) -> int:
    """Run the jobhost until a signal; return the exit code."""
    host = JobHost(folder, settings, os.environ, SystemClock())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, host.stop)
    return await host.run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the minion; return its exit code."""
    config_file, overrides = arguments("python -m cicd.minion", sys.argv[1:] if argv is None else argv)
    try:
        config = load_minion(config_file, os.environ, overrides)
    except ConfigError as error:
        print(f"cicd minion: {error.message}", file=sys.stderr)  # noqa: T201  logs are not set up
        return EXIT_CONFIG
    set_up_logs(config.log, role="jobhost")
    try:
        folder = DataFolder(config.minion.data_dir, os.environ)
        return asyncio.run(serve(folder, settings_of(config, config_file, overrides)))
    except (CicdError, OSError) as error:
        print(f"cicd minion: {error}", file=sys.stderr)  # noqa: T201  for whoever started it
        return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
