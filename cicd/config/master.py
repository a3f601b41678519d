"""The master's configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from cicd.config.loading import configuration, load, private_file_problem, readable_file_problem
from cicd.config.places import default_data_dir, user_name
from cicd.config.types import (
    Count,
    Log,
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


class Master(Section, frozen=True):
    """`[master]`: who it is.

    Attributes:
        data_dir: folder for everything it keeps. One master per folder.
        operator: name of the operator whose key file is written at the first start.
    """

    data_dir: Path
    operator: str


class Listen(Section, frozen=True):
    """`[listen]`: where it can be reached. Port 0 or `*`: any free one, written to `<data_dir>/endpoints.json`.

    Attributes:
        control: for minions: heartbeats, jobs, results.
        bulk: for minions: logs, plugins, source trees.
        client: for people: command line, gateway.
        enrol: for minions that join; after loading never empty (default: the port 3 above that of control).
        advertise: host that the others shall dial; empty: the host of each address, this machine's name for `*`.
    """

    control: str = "tcp://127.0.0.1:7711"
    bulk: str = "tcp://127.0.0.1:7712"
    client: str = "tcp://127.0.0.1:7713"
    enrol: str = ""
    advertise: str = ""


class Cluster(Section, frozen=True):
    """`[cluster]`: time limits. Seconds.

    Attributes:
        heartbeat_s: between two heartbeats of a minion.
        suspect_s: silence after which a minion gets no new jobs.
        lease_s: how long a minion may go on without an answer; then it ends its jobs by itself.
        lease_margin_s: how much longer the master waits before it gives those jobs to others.
        job_timeout_s: of a job that names none.
        cancel_grace_s: between asking a job to stop and killing it.
    """

    heartbeat_s: Seconds = 1.0
    suspect_s: Seconds = 2.5
    lease_s: Seconds = 10.0
    lease_margin_s: Seconds = 2.7
    job_timeout_s: Seconds = 3600.0
    cancel_grace_s: SecondsOrZero = 10.0


class Runs(Section, frozen=True):
    """`[runs]`: what holds for runs whose pipeline does not say otherwise.

    Attributes:
        timeout_s: how long a run may take from the start of its first job; 0: as long as it takes.
    """

    timeout_s: SecondsOrZero = 0.0


class Credential(Section, frozen=True):
    """`[[compiler.credentials]]`: how to log in to one host of repositories.

    Attributes:
        host: as in the URL, such as `github.com` or `git.example.org:8443`.
        username: for https with a token.
        token_file: holds the token (https).
        ssh_key_file: the private key (ssh).
        known_hosts_file: the host keys that are accepted (ssh).
        ca_file: certificates to trust beside the system's (https).
    """

    host: str
    username: str = ""
    token_file: Path | None = None
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    ca_file: Path | None = None


class Compiler(Section, frozen=True):
    """`[compiler]`: where pipelines may come from and how they are built.

    Attributes:
        allowed_hosts: hosts that repositories may be cloned from.
        allow_local: whether a path of this machine may be a repository.
        build_timeout_s: of one build, after the clone.
        clone_timeout_s: of getting the repository.
        describe_timeout_s: of asking the new plugin what it is.
        max_parallel_builds: builds at the same time.
        build_env: variables that a build sees beside the few it always does (package index, proxy, CA).
        credentials: logins by host.
    """

    allowed_hosts: tuple[str, ...] = ("github.com",)
    allow_local: bool = False
    build_timeout_s: Seconds = 900.0
    clone_timeout_s: Seconds = 300.0
    describe_timeout_s: Seconds = 60.0
    max_parallel_builds: Count = 2
    build_env: dict[str, str] = msgspec.field(default_factory=dict)
    credentials: tuple[Credential, ...] = ()


class Store(Section, frozen=True):
    """`[store]`: the database below the data folder.

    Attributes:
        max_size_bytes: it never grows beyond this.
        reserve_bytes: of the disk, for what runs already when it is full; 0: none.
    """

    max_size_bytes: int = 16 * 1024**3
    reserve_bytes: int = 32 * 1024**2


class Journal(Section, frozen=True):
    """`[journal]`: what the master decided upon, kept to explain and check its decisions; see `cicd runs explain`.

    Attributes:
        enabled: whether it is kept.
        max_bytes: the oldest parts are deleted beyond this.
        max_days: and after so many days.
    """

    enabled: bool = True
    max_bytes: int = 512 * 1024**2
    max_days: Seconds = 14.0


class Retention(Section, frozen=True):
    """`[retention]`: how long things stay. 0: for ever. Days, if nothing else is said.

    Attributes:
        runs_keep: newest runs of each pipeline.
        runs_days: runs, with their jobs and logs, since they ended. The newest of a pipeline always stays.
        logs_days: logs, since their run ended.
        plugins_days: plugins and source trees, since a pipeline had them in service or a run was active with them.
        mirrors_days: clones of repositories, since a pipeline used them.
        builds_keep: newest build logs of each pipeline.
        deletions_days: what is noted of deletions.
        every_s: seconds between two rounds.
    """

    runs_keep: Annotated[int, msgspec.Meta(ge=0)] = 0
    runs_days: SecondsOrZero = 0.0
    logs_days: SecondsOrZero = 90.0
    plugins_days: SecondsOrZero = 30.0
    mirrors_days: SecondsOrZero = 30.0
    builds_keep: Annotated[int, msgspec.Meta(ge=0)] = 20
    deletions_days: SecondsOrZero = 365.0
    every_s: Seconds = 300.0


@configuration
class MasterConfig(Section, frozen=True):
    """Everything that can be said to a master; made by `load_master`."""

    master: Master
    listen: Listen = Listen()
    cluster: Cluster = Cluster()
    runs: Runs = Runs()
    compiler: Compiler = Compiler()
    store: Store = Store()
    retention: Retention = Retention()
    journal: Journal = Journal()
    tap: Tap = Tap()
    log: Log = Log()


def load_master(
    path: Path | None, env: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> MasterConfig:
    """Return the master's configuration.

    Args:
        path: the file; None: defaults, environment and flags only.
        env: the environment; `CICD_SECTION_KEY` beats the file.
        overrides: flags: `{"section.key": value}` or `{"section": {"key": value}}`; beat all.

    Raises:
        ConfigError: anything is wrong; it names everything that is.
    """
    data_dir = default_data_dir("master", env)
    base = {"master": {"data_dir": str(data_dir), "operator": user_name()}}
    return load(MasterConfig, path, env, overrides or {}, base, _finish)


def _finish(config: MasterConfig) -> tuple[MasterConfig, list[Problem]]:
    if not config.tap.address:
        tap = msgspec.structs.replace(config.tap, address=f"ipc://{config.master.data_dir}/tap.sock")
        config = msgspec.structs.replace(config, tap=tap)
    if not config.listen.enrol:
        listen = msgspec.structs.replace(config.listen, enrol=enrol_address(config.listen.control))
        config = msgspec.structs.replace(config, listen=listen)
    problems = tap_problems(config.tap) if config.tap.enabled else []
    if not is_name(config.master.operator):
        problems.append(
            Problem(
                "master.operator", f"{config.master.operator!r}: letters, digits, '.', '_' and '-' only, 63 at most"
            )
        )
    problems += _listen_problems(config.listen)
    problems += _cluster_problems(config.cluster)
    problems += _compiler_problems(config.compiler)
    if config.journal.max_bytes < 1024**2:
        problems.append(Problem("journal.max_bytes", "1048576 (1 MiB) is the least"))
    if config.store.max_size_bytes < 16 * 1024**2:
        problems.append(Problem("store.max_size_bytes", "16777216 (16 MiB) is the least"))
    if config.store.reserve_bytes < 0:
        problems.append(Problem("store.reserve_bytes", "0 (no reserve) is the least"))
    return config, problems


def _listen_problems(listen: Listen) -> list[Problem]:
    problems: list[Problem] = []
    taken: dict[str, str] = {}
    for key in ("control", "bulk", "client", "enrol"):
        address: str = getattr(listen, key)
        parts = split_tcp(address)
        if key == "enrol" and not address:
            continue  # it follows control, which is malformed
        if parts is None:
            problems.append(
                Problem(f"listen.{key}", f"{address!r} is not of the form tcp://HOST:PORT (PORT 0 or *: a free one)")
            )
        elif parts[1] and address in taken:
            problems.append(Problem(f"listen.{key}", f"{address} is listen.{taken[address]}'s already"))
        else:
            taken[address] = key
    if any(character in listen.advertise for character in "/ "):
        problems.append(
            Problem("listen.advertise", f"{listen.advertise!r} is no host name or address (no scheme, no port)")
        )
    return problems


def _cluster_problems(cluster: Cluster) -> list[Problem]:
    problems: list[Problem] = []
    for key, least in (("suspect_s", "heartbeat_s"), ("lease_s", "suspect_s")):
        value, bound = getattr(cluster, key), getattr(cluster, least)
        if value <= bound:
            problems.append(
                Problem(
                    f"cluster.{key}", f"{value:g} must be more than cluster.{least} ({bound:g})", (f"cluster.{least}",)
                )
            )
    return problems


def _compiler_problems(compiler: Compiler) -> list[Problem]:
    problems: list[Problem] = []
    problems += [
        Problem("compiler.allowed_hosts", f"{host!r} is no host (no scheme, no path)")
        for host in compiler.allowed_hosts
        if not host or "/" in host or "@" in host
    ]
    seen: set[str] = set()
    for index, credential in enumerate(compiler.credentials):
        where = f"compiler.credentials[{index}]"
        if credential.host in seen:
            problems.append(Problem(f"{where}.host", f"{credential.host!r} is there twice"))
        seen.add(credential.host)
        for key in ("token_file", "ssh_key_file", "known_hosts_file", "ca_file"):
            file: Path | None = getattr(credential, key)
            if file is None:
                continue
            private = key in {"token_file", "ssh_key_file"}
            problem = private_file_problem(file) if private else readable_file_problem(file)
            if problem:
                problems.append(Problem(f"{where}.{key}", problem))
    problems += [
        Problem("compiler.build_env", f"{name!r} is no name of a variable")
        for name in compiler.build_env
        if not name or "=" in name or "\0" in name
    ]
    return problems
