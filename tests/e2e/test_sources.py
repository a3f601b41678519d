"""Repositories over https and ssh: a git server with a certificate of its own and a token, an sshd on loopback."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from build_support import PIPELINE, Origin, RunningBuildHost
from cicd.messages.build import BuildFailed
from cicd.messages.pipeline import Source
from cicd.plugins.build.settings import BuildSettings, HostCredential
from e2e import cli, cluster_of
from git_servers import SSHD, TOKEN, HttpsGit, Sshd, keygen, private_file

pytestmark = pytest.mark.e2e


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    origin = Origin(tmp_path / "origin")
    origin.commit(".cicd/pipeline.py", PIPELINE)
    return origin


def build_host(tmp_path: Path, credential: HostCredential, *hosts: str) -> RunningBuildHost:
    settings = BuildSettings(
        data_dir=str(tmp_path / "data"), allowed_hosts=hosts or (credential.host,), credentials=(credential,)
    )
    return RunningBuildHost(settings)


@pytest.fixture
def https(tmp_path: Path) -> Iterator[HttpsGit]:
    server = HttpsGit(tmp_path)
    yield server
    server.close()


def test_https_with_a_certificate_of_its_own_and_a_token(https: HttpsGit, origin: Origin, tmp_path: Path) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "-a", "-m", "x", "v1")
    with build_host(tmp_path, https.credential(tmp_path)) as host:
        for ref in ("", "main", "v1", first, first[:12]):
            assert host.build(Source(repository=https.url(), ref=ref)).commit == first
        second = origin.commit("README", "new")
        asked = len(https.requests)
        assert host.build(Source(repository=https.url(), ref=first)).commit == first
        assert len(https.requests) == asked  # a commit that is there is not asked for
        assert host.build(Source(repository=https.url(), ref="main")).commit == second
        answer, _ = host.fail(Source(repository=https.url(), ref="gone"))
        assert "no branch, tag or commit 'gone'" in answer.error
    # The token is nowhere but in its file: not in a log, the mirror's config, or anything else that is kept.
    for path in (tmp_path / "data").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_https_that_does_not_work_is_told(https: HttpsGit, origin: Origin, tmp_path: Path) -> None:
    good = https.credential(tmp_path)
    wrong = HostCredential(host=good.host, token_file=private_file(tmp_path / "wrong", "wr0ng"), ca_file=good.ca_file)
    unknown_ca = HostCredential(host=good.host, token_file=good.token_file)
    nothing = HostCredential(host="elsewhere")
    for credential, path, text in (
        (wrong, "origin/.git", "Authentication failed"),
        (unknown_ca, "origin/.git", "certificate"),
        (nothing, "origin/.git", "certificate"),
        (good, "nothing.git", "not found"),
    ):
        with build_host(tmp_path, credential, good.host) as host:
            answer, log = host.fail(Source(repository=https.url(path)))
        assert (answer.code, text in answer.error) == ("source", True), (credential, log)
        assert https.url(path) in answer.error
        assert "wr0ng" not in log
        assert TOKEN not in log


def test_a_redirect_leads_nowhere_and_takes_no_token_along(https: HttpsGit, origin: Origin, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        https.handler.redirect_to = f"https://127.0.0.1:{elsewhere.getsockname()[1]}"
        with build_host(tmp_path, https.credential(tmp_path)) as host:
            answer, _ = host.fail(Source(repository=https.url("moved/origin/.git")))
        assert (answer.code, "301" in answer.error) == ("source", True)
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_a_token_file_that_others_can_read_is_refused(https: HttpsGit, origin: Origin, tmp_path: Path) -> None:
    credential = https.credential(tmp_path)
    Path(credential.token_file).chmod(0o644)
    with build_host(tmp_path, credential) as host:
        answer, _ = host.fail(Source(repository=https.url()))
    assert (answer.code, "chmod 600" in answer.error) == ("source", True)
    assert https.requests == []


def test_a_host_off_the_list_is_not_even_asked(https: HttpsGit, tmp_path: Path) -> None:
    with build_host(tmp_path, https.credential(tmp_path), "github.com", f"127.0.0.1:{https.port + 1}") as host:
        answer, _ = host.fail(Source(repository=https.url()))
    assert isinstance(answer, BuildFailed)
    assert (answer.code, "compiler.allowed_hosts" in answer.error) == ("refused", True)
    assert https.requests == []


# ---- ssh -----------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    server = Sshd(tmp_path / "sshd")
    yield server
    server.close()


def test_ssh_with_a_key_and_a_known_host(sshd: Sshd, origin: Origin, tmp_path: Path) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "v1")
    with build_host(tmp_path, sshd.credential()) as host:
        for ref in ("", "main", "v1", first):
            assert host.build(Source(repository=sshd.url(origin), ref=ref)).commit == first
        second = origin.commit("README", "new")
        assert host.build(Source(repository=sshd.url(origin), ref="main")).commit == second


def test_ssh_that_does_not_work_is_told(sshd: Sshd, origin: Origin, tmp_path: Path) -> None:
    other_host = tmp_path / "other_hosts"
    public = Path(f"{sshd.user_key}.pub").read_text().split()[:2]
    other_host.write_text(f"[127.0.0.1]:{sshd.port} {' '.join(public)}\n")
    (tmp_path / "empty").write_text("")
    for credential, text in (
        (sshd.credential(known_hosts_file=str(other_host)), "Host key verification failed"),
        (sshd.credential(known_hosts_file=str(tmp_path / "empty")), "Host key verification failed"),
        (
            sshd.credential(ssh_key_file=str(keygen(tmp_path / f"stranger{len(list(tmp_path.iterdir()))}"))),
            "Permission denied",
        ),
        (sshd.credential(ssh_key_file=""), "no ssh login for 127.0.0.1"),
        (sshd.credential(known_hosts_file=str(tmp_path / "missing")), "No such file"),
    ):
        with build_host(tmp_path, credential) as host:
            answer, log = host.fail(Source(repository=sshd.url(origin)))
        assert (answer.code, text in answer.error) == ("source", True), (answer, log)


def test_no_option_reaches_ssh_or_git_through_a_source(sshd: Sshd, origin: Origin, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = f"touch${{IFS}}{mark}"
    with build_host(tmp_path, sshd.credential(), "127.0.0.1", f"-oproxycommand={evil}", "x") as host:
        for source in (
            Source(repository=f"ssh://-oProxyCommand={evil}/x"),
            Source(repository=f"ssh://127.0.0.1:{sshd.port}/;touch {mark}"),
            Source(repository=f"-oProxyCommand={evil}:x"),
            Source(repository=f"--upload-pack=touch {mark}"),
            Source(repository=f"ext::sh -c touch% {mark}"),
            Source(repository=sshd.url(origin), ref=f"--upload-pack=touch {mark}"),
            Source(repository=sshd.url(origin), ref=f"main:refs/heads/x --upload-pack={evil}"),
            Source(repository=f"{sshd.url(origin)}';touch${{IFS}}{mark};'"),
            Source(repository=sshd.url(origin), path=f"$(touch {mark})"),
        ):
            host.fail(source)
    assert not mark.exists()


# ---- through a master, as a user types it --------------------------------------------------------------


def test_a_pipeline_from_https_and_one_from_ssh(https: HttpsGit, sshd: Sshd, origin: Origin, tmp_path: Path) -> None:
    """create, compile and run from both; a token that is wrong is told in one line."""
    login, key = https.credential(tmp_path), sshd.credential()
    credentials = [
        {"host": login.host, "token_file": login.token_file, "ca_file": login.ca_file},
        {"host": key.host, "ssh_key_file": key.ssh_key_file, "known_hosts_file": key.known_hosts_file},
    ]
    compiler = {"allowed_hosts": [login.host, key.host, f"127.0.0.1:{sshd.port}"], "credentials": credentials}
    with cluster_of(minions=1, master_overrides={"compiler": compiler}) as cluster:
        for name, url in (("by-https", https.url()), ("by-ssh", sshd.url(origin))):
            done = cli(cluster, "pipelines", "create", name, url)
            assert done.returncode == 0, done.stderr
            assert cli(cluster, "run", name, "--follow").returncode == 0
        Path(login.token_file).write_text("wr0ng\n")
        origin.commit("README", "newer")
        failed = cli(cluster, "pipelines", "recompile", "by-https")
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        assert cli(cluster, "run", "by-https", "--follow").returncode == 0  # the last good plugin goes on
