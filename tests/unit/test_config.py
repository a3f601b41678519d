"""Layers, errors and the two files that ship."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cicd.config import (
    ConfigError,
    MasterConfig,
    MinionConfig,
    arguments,
    load_master,
    load_minion,
)
from cicd.config.places import default_data_dir
from cicd.config.types import Section, split_tcp

FOLDER = Path(__file__).parents[2] / "config"
TOKEN = {"master.token": "cicd1.key.id.secret"}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def problems(path: Path | None = None, env: dict[str, str] | None = None, **overrides: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_master(path, env or {}, overrides)
    return caught.value.problems


# ---- the files that ship -------------------------------------------------------------------------------


def keys_of_type(kind: type[Section], prefix: str = "") -> set[str]:
    keys = set()
    for field in msgspec.structs.fields(kind):
        inner = field.type
        if getattr(inner, "__origin__", None) is tuple and issubclass(inner.__args__[0], Section):
            inner = inner.__args__[0]
        if isinstance(inner, type) and issubclass(inner, Section):
            keys |= keys_of_type(inner, f"{prefix}{field.name}.")
        else:
            keys.add(f"{prefix}{field.name}")
    return keys


def keys_of_file(table: dict[str, Any], prefix: str = "") -> set[str]:
    keys = set()
    for key, value in table.items():
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict) and f"{prefix}{key}" != "compiler.build_env":
            keys |= keys_of_file(inner, f"{prefix}{key}.")
        else:
            keys.add(f"{prefix}{key}")
    return keys


def uncommented(path: Path) -> dict[str, Any]:
    """The file with every line `#key = ...` or `#[...]` in force; prose has a space behind its `#`."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[A-Za-z\[])", "", path.read_text()))


@pytest.mark.parametrize(("name", "kind"), [("master", MasterConfig), ("minion", MinionConfig)])
def test_the_shipped_file_and_the_types_have_the_same_keys(name, kind):
    assert keys_of_file(uncommented(FOLDER / f"{name}.toml")) == keys_of_type(kind)


def test_the_shipped_files_say_the_defaults():
    assert load_master(FOLDER / "master.toml", {}) == load_master(None, {})
    assert load_minion(FOLDER / "minion.toml", {}, TOKEN) == load_minion(None, {}, TOKEN)


@pytest.mark.parametrize("name", ["master", "minion"])
def test_every_key_that_has_a_default_stands_uncommented(name):
    load = {"master": load_master, "minion": load_minion}[name]
    config = load(None, {}, TOKEN if name == "minion" else {})
    said = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    absent = {
        "data_dir",
        "operator",
        "name",
        "slots",
        "token",
        "token_file",
        "address",
        "credentials",
        "checks",
        "enrol",
    }
    for section in config.__struct_fields__:
        for key in getattr(config, section).__struct_fields__:
            assert key in said[section] or key in absent, f"{section}.{key}"


# ---- layers --------------------------------------------------------------------------------------------


def test_defaults_then_file_then_environment_then_flags(tmp_path):
    file = write(tmp_path / "master.toml", "[cluster]\nlease_s = 20\njob_timeout_s = 20\ncancel_grace_s = 20\n")
    env = {"CICD_CLUSTER_JOB_TIMEOUT_S": "30", "CICD_CLUSTER_CANCEL_GRACE_S": "30"}
    cluster = load_master(file, env, {"cluster.cancel_grace_s": "40"}).cluster
    assert (cluster.heartbeat_s, cluster.lease_s, cluster.job_timeout_s, cluster.cancel_grace_s) == (1, 20, 30, 40)


def test_flags_may_be_tables_and_typed():
    config = load_master(None, {}, {"cluster": {"lease_s": 12}, "compiler": {"allow_local": True}})
    assert config.cluster.lease_s == 12
    assert config.compiler.allow_local


def test_text_is_read_by_the_type_of_its_key():
    env = {
        "CICD_COMPILER_ALLOWED_HOSTS": "github.com, git.example.org",
        "CICD_COMPILER_ALLOW_LOCAL": "true",
        "CICD_COMPILER_BUILD_ENV": '{ HTTPS_PROXY = "http://proxy:1" }',
        "CICD_COMPILER_CREDENTIALS": '[{ host = "git.example.org", username = "ci" }]',
        "CICD_COMPILER_MAX_PARALLEL_BUILDS": "7",
    }
    compiler = load_master(None, env).compiler
    assert compiler.allowed_hosts == ("github.com", "git.example.org")
    assert compiler.allow_local
    assert compiler.build_env == {"HTTPS_PROXY": "http://proxy:1"}
    assert compiler.credentials[0].username == "ci"
    assert compiler.max_parallel_builds == 7


def test_relative_paths_are_the_files_or_the_callers(tmp_path, monkeypatch):
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    file = write(folder / "master.toml", '[master]\ndata_dir = "data"\n')
    assert load_master(file, {}).master.data_dir == folder / "data"
    assert load_master(Path("etc/master.toml"), {}).master.data_dir == folder / "data"
    assert load_master(file, {"CICD_MASTER_DATA_DIR": "data"}).master.data_dir == tmp_path / "data"


def test_a_variable_of_the_other_server_is_left_alone():
    assert load_master(None, {"CICD_MASTER_TOKEN": "cicd1.x"}) == load_master(None, {})
    assert load_master(None, {"CICD_OPERATOR": "x", "CICD": "x", "CICD_RUN_ID": "x"}) == load_master(None, {})


def test_root_keeps_its_data_below_var_lib(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir("master", {"HOME": "/home/x"}) == Path("/var/lib/cicd/master")


def test_others_keep_their_data_in_their_state_folder(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_data_dir("master", {"HOME": "/home/x"}) == Path("/home/x/.local/state/cicd/master")
    assert default_data_dir("minion", {"HOME": "/home/x", "XDG_STATE_HOME": "/s"}) == Path("/s/cicd/minion")


def test_the_tap_listens_in_the_data_folder_by_default():
    assert load_master(None, {}, {"master.data_dir": "/srv/m"}).tap.address == "ipc:///srv/m/tap.sock"


# ---- errors --------------------------------------------------------------------------------------------


def test_all_errors_are_told_at_once_with_file_key_and_suggestion(tmp_path):
    file = write(
        tmp_path / "master.toml",
        """
        [clutser]
        heartbeat_s = 1
        [cluster]
        hearbeat_s = 2
        suspect_s = 0.5
        lease_s = "long"
        [compiler]
        allow_local = 1
        [[compiler.credentials]]
        host = "github.com"
        usrname = "x"
        [[compiler.credentials]]
        token_file = "absent"
        [listen]
        control = "udp://x"
        [log]
        level = "loud"
        """,
    )
    assert problems(file, {"CICD_TAP_ENABLED": "maybe"}) == (
        f"{file}: cluster.hearbeat_s: unknown key: did you mean 'heartbeat_s'?",
        f"{file}: cluster.lease_s: expected float, not 'long'",
        f"{file}: compiler.allow_local: expected bool, not 1",
        f"{file}: compiler.credentials[0].usrname: unknown key: did you mean 'username'?",
        f"{file}: compiler.credentials[1].host: is needed",
        "CICD_TAP_ENABLED: tap.enabled: expected bool, not 'maybe'",
        f"{file}: log.level: 'loud' is none of debug, info, warning, error",
        f"{file}: [clutser]: unknown section: did you mean 'cluster'?",
        f"{file}: listen.control: 'udp://x' is not of the form tcp://HOST:PORT (PORT 0 or *: a free one)",
        f"{file}: cluster.suspect_s: 0.5 must be more than cluster.heartbeat_s (1)",
    )


def test_a_malformed_key_withholds_judgements_that_rest_on_it():
    assert problems(None, {"CICD_CLUSTER_LEASE_S": "x"}, **{"cluster.suspect_s": 20}) == (
        "CICD_CLUSTER_LEASE_S: cluster.lease_s: expected float, not 'x'",
    )


def test_limits_are_held():
    assert problems(None, {"CICD_CLUSTER_HEARTBEAT_S": "-1"}) == (
        "CICD_CLUSTER_HEARTBEAT_S: cluster.heartbeat_s: expected float > 0.0, not '-1'",
    )
    assert problems(None, {}, **{"store.max_size_bytes": 5, "master.operator": "a b"}) == (
        "--set master.operator: master.operator: 'a b': letters, digits, '.', '_' and '-' only, 63 at most",
        "--set store.max_size_bytes: store.max_size_bytes: 16777216 (16 MiB) is the least",
    )


def test_two_sockets_cannot_share_an_address():
    (problem,) = problems(None, {"CICD_LISTEN_BULK": "tcp://127.0.0.1:7711"})
    assert problem == "CICD_LISTEN_BULK: listen.bulk: tcp://127.0.0.1:7711 is listen.control's already"
    free = {"listen": {"control": "tcp://127.0.0.1:*", "bulk": "tcp://127.0.0.1:*", "client": "tcp://127.0.0.1:0"}}
    assert load_master(None, {}, free).listen.bulk == "tcp://127.0.0.1:*"


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("tcp://127.0.0.1:7711", ("127.0.0.1", 7711)),
        ("tcp://*:*", ("*", 0)),
        ("tcp://[::1]:1", ("[::1]", 1)),
        ("tcp://host:65536", None),
        ("tcp://host", None),
        ("ipc:///x", None),
        ("tcp://a b:1", None),
    ],
)
def test_addresses(address, parts):
    assert split_tcp(address) == parts


def test_a_file_that_is_absent_or_no_toml(tmp_path):
    absent = tmp_path / "absent.toml"
    assert problems(absent) == (f"{absent}: cannot be read: No such file or directory",)
    file = write(tmp_path / "x.toml", "[master\n")
    (problem,) = problems(file)
    assert problem.startswith(f"{file}: not TOML: ")
    assert "line 1" in problem
    assert problems(write(file, "lease_s = 3\n")) == (f"{file}: lease_s: stands outside of every [section]",)


# ---- the minion's token --------------------------------------------------------------------------------


def minion_problems(**overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_minion(None, {}, {"master": overrides})
    (problem,) = caught.value.problems
    return problem


def test_a_minion_needs_a_token():
    assert minion_problems() == (
        "default: master.token_file: it or master.token is needed; 'cicd tokens create' on the master makes one"
    )


def test_a_token_is_read_from_a_private_file(tmp_path):
    file = write(tmp_path / "token", "cicd1.a.b.c\n")
    assert load_minion(None, {}, {"master.token_file": str(file)}).master.token == "cicd1.a.b.c"
    assert load_minion(None, {"CICD_MASTER_TOKEN_FILE": str(file)}).master.token == "cicd1.a.b.c"


def test_a_token_file_that_others_may_read_is_refused(tmp_path):
    for mode in (0o640, 0o604):
        file = write(tmp_path / "token", "cicd1.a.b.c", mode)
        assert f"others may read {file}: chmod 600 it" in minion_problems(token_file=str(file))
    assert "keep one of them" in minion_problems(token="x", token_file=str(write(file, "x", 0o600)))
    assert "is empty" in minion_problems(token_file=str(write(file, " \n", 0o600)))
    assert "No such file" in minion_problems(token_file=str(tmp_path / "absent"))


def test_a_token_is_never_shown():
    config = load_minion(None, {}, TOKEN)
    assert "secret" not in repr(config)
    assert "hunter2" not in minion_problems(token=["hunter2"])


# ---- flags ---------------------------------------------------------------------------------------------


def test_flags_of_a_server():
    assert arguments("cicd master", []) == (None, {})
    path, overrides = arguments("x", ["--config", "m.toml", "--set", "a.b=c=d", "--set", "log.level=debug"])
    assert path == Path("m.toml")
    assert overrides == {"a.b": "c=d", "log.level": "debug"}


@pytest.mark.parametrize("argv", [["--set", "x"], ["--set", "a=b"], ["--nope"], ["stray"]])
def test_wrong_flags_of_a_server_are_a_usage_error(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        arguments("cicd master", argv)
    assert caught.value.code == 2
    assert "cicd master" in capsys.readouterr().err


def test_self_checks_are_read_and_what_is_wrong_with_them_is_told(tmp_path):
    good = write(tmp_path / "good.toml", '[[health.checks]]\nname = "gpu"\ncommand = ["nvidia-smi", "-L"]\n')
    (check,) = load_minion(good, {}, TOKEN).health.checks
    assert (check.name, check.command, check.every_s, check.timeout_s, check.failures) == (
        "gpu",
        ("nvidia-smi", "-L"),
        60.0,
        10.0,
        2,
    )
    table = '[[health.checks]]\nname = "{}"\ncommand = {}\n'
    text = "[health]\ndisk_percent = 101\n" + "".join(
        table.format(name, command)
        for name, command in [("a b", '["x"]'), ("c", "[]"), *[(f"n{i}", '["x"]') for i in range(15)], ("c", '[""]')]
    )
    with pytest.raises(ConfigError) as caught:
        load_minion(write(tmp_path / "bad.toml", text), {}, TOKEN)
    told = "\n".join(caught.value.problems)
    for part in (
        "health.disk_percent: ",
        "health.checks[0].name: 'a b': letters",
        "health.checks[1].name: there are 2 checks 'c'",
        "health.checks[1].command: needs a program",
        "health.checks[17].command: needs a program",
        "health.checks: 18 are more than 16",
    ):
        assert part in told
