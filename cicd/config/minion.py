"""A minion's configuration."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cicd.config.loading import configuration, load, private_file_problem
from cicd.config.places import default_data_dir, host_name
from cicd.config.types import (
    Bytes,
    Count,
    Log,
    NotNegative,
    Percent,
    Problem,
    Seconds,
    SecondsOrZero,
    Section,
    Tap,
    enrol_address,
    is_name,
    split_tcp,
    tap_problems,
)

MAX_CHECKS = 16
"""Self-checks that one minion may have."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=-]{0,62}")


class Minion(Section, frozen=True):
    """`[minion]`: who it is and what it offers.

    Attributes:
        name: unique in the cluster.
        data_dir: folder for everything it keeps. One minion per folder.
        slots: jobs at the same time.
        labels: what jobs can ask for.
    """

    name: str
    data_dir: Path
    slots: Count
    labels: tuple[str, ...] = ()


class Remote(Section, frozen=True):
    """`[master]`: the master that it works for.

    Attributes:
        control: the master's control address.
        bulk: the master's bulk address.
        enrol: the master's enrol address; after loading never empty (default: the port 3 above that of control).
        token: the join token; after loading never empty.
        token_file: holds the token instead.
    """

    control: str = "tcp://127.0.0.1:7711"
    bulk: str = "tcp://127.0.0.1:7712"
    enrol: str = ""
    token: str = ""
    token_file: Path | None = None

    def __repr__(self) -> str:
        """Return it without the token: configurations end up in logs."""
        addresses = f"control={self.control!r}, bulk={self.bulk!r}, enrol={self.enrol!r}"
        return f"Remote({addresses}, token='***', token_file={self.token_file!r})"


class Jobs(Section, frozen=True):
    """`[jobs]`: how jobs are run.

    Attributes:
        cancel_grace_s: between asking a job to stop and killing it, where the minion itself decides.
        keep_workspaces: whether folders of finished attempts stay, to look into.
        zygote_idle_s: how long a pipeline stays loaded without a job.
        pass_env: names of the minion's own variables that jobs see too.
    """

    cancel_grace_s: SecondsOrZero = 10.0
    keep_workspaces: bool = False
    zygote_idle_s: SecondsOrZero = 60.0
    pass_env: tuple[str, ...] = ()


class Check(Section, frozen=True):
    """`[[health.checks]]`: a command that says whether this minion is fit for jobs: by exit code 0.

    Attributes:
        name: unique; letters, digits, `.`, `_`, `-`.
        command: program and arguments; no shell.
        every_s: between its end and its next start.
        timeout_s: then it has failed, and is ended with all that it started.
        failures: how many in a row make the minion unhealthy; before it has ever passed, one does.
    """

    name: str
    command: tuple[str, ...]
    every_s: Seconds = 60.0
    timeout_s: Seconds = 10.0
    failures: Count = 2


class Health(Section, frozen=True):
    """`[health]`: what makes the minion unhealthy: it gets no new jobs, what runs goes on. 0: not looked at.

    Attributes:
        disk_percent: how full the disk of the data folder is.
        memory_percent: how much of the memory is in use.
        load_per_cpu: load average of a minute, for each processor.
        clock_off_s: how far the wall clock is off the master's.
        checks: commands of one's own.
    """

    disk_percent: Percent = 95.0
    memory_percent: Percent = 95.0
    load_per_cpu: NotNegative = 0.0
    clock_off_s: SecondsOrZero = 60.0
    checks: tuple[Check, ...] = ()


class Quota(Section, frozen=True):
    """`[quota]`: what of the disk may be taken. 0: no limit.

    Attributes:
        job_bytes: the folder of one attempt; one that outgrows it is killed.
        minion_bytes: everything below `data_dir`: the cache gives way first.
    """

    job_bytes: Bytes = 0
    minion_bytes: Bytes = 0


class Retention(Section, frozen=True):
    """`[retention]`: how long things stay. 0: `failed_workspaces_h` not at all, the others for ever.

    Attributes:
        failed_workspaces_h: folders of failed attempts. Hours.
        cache_days: plugins and source trees since they were last asked for.
        cache_bytes: all plugins and source trees together; what was used longest ago goes first.
    """

    failed_workspaces_h: SecondsOrZero = 0.0
    cache_days: SecondsOrZero = 30.0
    cache_bytes: Bytes = 20 * 1024**3


class Logs(Section, frozen=True):
    """`[logs]`: what jobs print.

    Attributes:
        limit_bytes: most that one attempt may write; what follows is dropped, and the log says so. 0: no limit.
        mask_files: files whose contents are masked in all logs; they are read again when they change.
    """

    limit_bytes: Bytes = 2 * 1024 * 1024 * 1024
    mask_files: tuple[Path, ...] = ()


class Agent(Section, frozen=True):
    """`[agent]`: the process of the minion that speaks to the master.

    Attributes:
        restart_delay_s: between its end and its next start.
        command: the program and its arguments; empty: the one that comes with cicd.
    """

    restart_delay_s: SecondsOrZero = 0.5
    command: tuple[str, ...] = ()


@configuration
class MinionConfig(Section, frozen=True):
    """Everything that can be said to a minion; made by `load_minion`."""

    minion: Minion
    master: Remote = Remote()
    jobs: Jobs = Jobs()
    health: Health = Health()
    quota: Quota = Quota()
    retention: Retention = Retention()
    logs: Logs = Logs()
    agent: Agent = Agent()
    tap: Tap = Tap()
    log: Log = Log()


def load_minion(
    path: Path | None, env: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> MinionConfig:
    """Return a minion's configuration, its token read from the token file if there is one.

    Args:
        path: the file; None: defaults, environment and flags only.
        env: the environment; `CICD_SECTION_KEY` beats the file.
        overrides: flags: `{"section.key": value}` or `{"section": {"key": value}}`; beat all.

    Raises:
        ConfigError: anything is wrong; it names everything that is.
    """
    base: dict[str, dict[str, object]] = {
        "minion": {
            "name": host_name(),
            "data_dir": str(default_data_dir("minion", env)),
            "slots": os.cpu_count() or 1,
        }
    }
    return load(MinionConfig, path, env, overrides or {}, base, _finish)


def _finish(config: MinionConfig) -> tuple[MinionConfig, list[Problem]]:
    if not config.tap.address:
        tap = msgspec.structs.replace(config.tap, address=f"ipc://{config.minion.data_dir}/tap.sock")
        config = msgspec.structs.replace(config, tap=tap)
    problems = tap_problems(config.tap) if config.tap.enabled else []
    name = config.minion.name
    if not is_name(name):
        problems.append(Problem("minion.name", f"{name!r}: letters, digits, '.', '_' and '-' only, 63 at most"))
    for label in config.minion.labels:
        if not _LABEL.fullmatch(label):
            problems.append(Problem("minion.labels", f"{label!r}: letters, digits and . _ : / = - only, 63 at most"))
    if not config.master.enrol:
        enrol = enrol_address(config.master.control)
        config = msgspec.structs.replace(config, master=msgspec.structs.replace(config.master, enrol=enrol))
    follows = config.master.enrol == enrol_address(config.master.control)  # then the same would be said twice
    for key in ("control", "bulk") if follows else ("control", "bulk", "enrol"):
        parts = split_tcp(getattr(config.master, key))
        if parts is None or parts[1] == 0 or parts[0] == "*":
            problems.append(
                Problem(f"master.{key}", f"{getattr(config.master, key)!r} is not of the form tcp://HOST:PORT")
            )
    problems += _check_problems(config.health.checks)
    remote, token_problems = _with_token(config.master)
    return msgspec.structs.replace(config, master=remote), problems + token_problems


def _check_problems(checks: tuple[Check, ...]) -> list[Problem]:
    problems = []
    names = Counter(check.name for check in checks)
    for index, check in enumerate(checks):
        where = f"health.checks[{index}]"
        if not is_name(check.name):
            text = f"{check.name!r}: letters, digits, '.', '_' and '-' only, 63 at most"
            problems.append(Problem(f"{where}.name", text))
        if names[check.name] > 1:
            problems.append(Problem(f"{where}.name", f"there are {names[check.name]} checks {check.name!r}"))
        if not check.command or not check.command[0]:
            problems.append(Problem(f"{where}.command", "needs a program and its arguments"))
    if len(checks) > MAX_CHECKS:
        problems.append(Problem("health.checks", f"{len(checks)} are more than {MAX_CHECKS}"))
    return problems


def _with_token(remote: Remote) -> tuple[Remote, list[Problem]]:
    if remote.token_file is None:
        if remote.token:
            return remote, []
        return remote, [
            Problem(
                "master.token_file",
                "it or master.token is needed; 'cicd tokens create' on the master makes one",
                ("master.token",),
            )
        ]
    if remote.token:
        return remote, [Problem("master.token_file", "master.token is given too: keep one of them")]
    problem = private_file_problem(remote.token_file)
    if problem:
        return remote, [Problem("master.token_file", problem)]
    token = remote.token_file.read_text(encoding="utf-8", errors="replace").strip()
    if not token:
        return remote, [Problem("master.token_file", f"{remote.token_file} is empty")]
    return msgspec.structs.replace(remote, token=token), []
