"""A mirror of a real repository: branch, tag, commit; what is packed is what was committed."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from build_support import Origin
from cicd.errors import NotFoundError, UserError
from cicd.plugins.artifact import sha256_of
from cicd.plugins.build.git_environment import git_environment
from cicd.plugins.build.settings import BuildSettings, HostCredential
from cicd.plugins.repository import parse
from cicd.plugins.source import FetchError, Mirror, MirrorError, locked_mirror


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def mirror(tmp_path: Path, origin: Origin) -> Mirror:
    return mirror_of(str(origin.path), tmp_path)


def mirror_of(url: str, tmp_path: Path) -> Mirror:
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    env = git_environment(base, parse(url), HostCredential(host=""), tmp_path)
    with locked_mirror(tmp_path / "mirrors", url, env) as mirror:
        return mirror


def test_branch_tag_commit_and_default_branch_are_found(origin: Origin, mirror: Mirror) -> None:
    first = origin.commit("a", "1")
    origin.git("tag", "light")
    origin.git("tag", "-a", "-m", "x", "heavy")
    second = origin.commit("a", "2")
    origin.git("branch", "feature/x", first)
    for ref, sha in {
        "": second, "main": second, "refs/heads/main": second, "feature/x": first, "light": first, "heavy": first,
        "refs/tags/heavy": first, first: first, first[:10]: first, second: second,
    }.items():  # fmt: skip
        found = mirror.commit(ref)
        assert (ref, found.sha, found.time_s) == (ref, sha, 1700000000)


def test_a_branch_comes_before_a_tag_of_the_same_name_and_a_full_name_settles_it(
    origin: Origin, mirror: Mirror
) -> None:
    first = origin.commit("a", "1")
    origin.git("tag", "v1")
    origin.git("checkout", "-q", "-b", "v1")
    second = origin.commit("a", "2")
    assert mirror.commit("v1").sha == second
    assert mirror.commit("refs/tags/v1").sha == first
    assert mirror.commit("refs/heads/v1").sha == second


def test_a_new_commit_is_fetched_a_moved_branch_followed_and_a_deleted_one_gone(origin: Origin, mirror: Mirror) -> None:
    first = origin.commit("a", "1")
    origin.git("branch", "side")
    assert mirror.commit("main").sha == first
    second = origin.commit("a", "2")
    assert mirror.commit("main").sha == second
    origin.git("reset", "-q", "--hard", first)
    origin.git("branch", "-D", "side")
    origin.git("branch", "side/deeper")
    assert mirror.commit("main").sha == first
    assert mirror.commit("side/deeper").sha == first
    with pytest.raises(NotFoundError):
        mirror.commit("side")


def test_a_commit_that_no_branch_holds_any_more_is_still_had(origin: Origin, tmp_path: Path) -> None:
    first = origin.commit("a", "1")
    lost = origin.commit("a", "2")
    origin.git("reset", "-q", "--hard", first)
    mirror = mirror_of(str(origin.path), tmp_path)
    assert mirror.commit(lost).sha == lost


def test_a_missing_ref_is_told_with_what_there_is(origin: Origin, mirror: Mirror) -> None:
    origin.commit("a", "1")
    origin.git("branch", "release")
    for ref in ("relaese", "0123456789", "f" * 40, "refs/heads/x"):
        with pytest.raises(NotFoundError, match=f"no branch, tag or commit '{ref}'.*release"):
            mirror.commit(ref)


def test_a_missing_and_an_empty_repository_are_told(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="it is empty"):
        mirror.commit("main")
    with pytest.raises(FetchError, match=r"cannot fetch .*HEAD"):
        mirror.commit("")
    missing = mirror_of(str(tmp_path / "nothing"), tmp_path)
    with pytest.raises(FetchError, match=r"cannot fetch .*nothing.*does not appear to be a git repository"):
        missing.commit("main")


def test_the_tree_is_packed_as_committed_and_equal_trees_are_equal_bytes(origin: Origin, tmp_path: Path) -> None:
    (origin.path / ".gitattributes").write_text("secret export-ignore\nversion export-subst\n*.txt text eol=crlf\n")
    (origin.path / "sub").mkdir()
    (origin.path / "sub" / "run").write_text("#!/bin/sh\n")
    (origin.path / "sub" / "run").chmod(0o755)
    (origin.path / "secret").write_text("seen by jobs")
    (origin.path / "version").write_text("$Format:%H$")
    (origin.path / "lines.txt").write_bytes(b"a\nb\n")
    (origin.path / "link").symlink_to("/usr/bin")
    Path(os.fsdecode(os.fsencode(origin.path) + b"/not-utf8-\xff")).write_bytes(b"\0" * 5000)
    sha = origin.commit("long-" + "x" * 200, "last")
    tars = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        mirror = mirror_of(str(origin.path), folder)
        packed = mirror.pack(mirror.commit(sha), folder / "source.tar")
        assert sha256_of(folder / "source.tar") == packed.digest
        tars.append(packed)
    assert tars[0] == tars[1]
    with tarfile.open(tmp_path / "1" / "source.tar", errors="surrogateescape") as tar:
        members = {member.name: member for member in tar}
        assert list(members) == sorted(members, key=os.fsencode)
        assert members["sub/run"].mode == 0o755
        assert members["secret"].mode == 0o644
        assert (members["link"].type, members["link"].linkname) == (tarfile.SYMTYPE, "/usr/bin")
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in members.values()} == {(1700000000, 0, 0, "")}
        contents = {name: tar.extractfile(m).read() for name, m in members.items() if m.isreg()}  # type: ignore[union-attr]
    assert contents["version"] == b"$Format:%H$"
    assert contents["lines.txt"] == b"a\nb\n"
    assert contents[os.fsdecode(b"not-utf8-\xff")] == b"\0" * 5000
    assert contents["long-" + "x" * 200] == b"last"


def test_a_submodule_is_an_empty_folder(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    first = origin.commit("a", "1")
    origin.git("update-index", "--add", "--cacheinfo", f"160000,{first},lib/sub")
    origin.git("commit", "-q", "-m", "sub")
    mirror.pack(mirror.commit("main"), tmp_path / "source.tar")
    with tarfile.open(tmp_path / "source.tar") as tar:
        assert {member.name: member.isdir() for member in tar} == {"a": False, "lib/sub": True}


@pytest.mark.parametrize("name", ["..", ".git", ".GIT"])
def test_a_tree_that_no_checkout_would_make_is_refused(
    name: str, origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    blob = origin.git("hash-object", "-w", "--stdin", data=b"x")
    inner = bytes.fromhex(blob)
    tree = origin.git(
        "hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=f"100644 {name}\0".encode() + inner
    )
    commit = origin.git("commit-tree", "-m", "x", tree)
    origin.git("update-ref", "refs/heads/evil", commit)
    with pytest.raises(UserError, match="no checkout"):
        mirror.pack(mirror.commit("evil"), tmp_path / "source.tar")


def test_stale_locks_of_a_killed_fetch_do_not_stop_the_next(origin: Origin, mirror: Mirror) -> None:
    origin.commit("a", "1")
    mirror.commit("main")
    second = origin.commit("a", "2")
    (mirror.path / "refs" / "cicd" / "heads" / "main.lock").write_text("")
    (mirror.path / "packed-refs.lock").write_text("")
    assert mirror.commit("main").sha == second


def test_a_damaged_mirror_says_so(origin: Origin, mirror: Mirror, tmp_path: Path) -> None:
    origin.commit("a", "1")
    commit = mirror.commit("main")
    for path in (mirror.path / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(MirrorError):
        mirror.pack(commit, tmp_path / "source.tar")
    mirror.discard()
    assert mirror.commit("main") == commit


def test_no_hook_and_no_configuration_of_the_repository_runs_anything(
    origin: Origin, mirror: Mirror, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    origin.commit("a", "1")
    mirror.commit("main")
    assert not list((mirror.path / "hooks").glob("*")) if (mirror.path / "hooks").exists() else True
    (mirror.path / "hooks").mkdir(exist_ok=True)
    for name in ("post-fetch", "reference-transaction", "post-update", "post-checkout", "pre-auto-gc"):
        (mirror.path / "hooks" / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (mirror.path / "hooks" / name).chmod(0o755)
    origin.commit("a", "2")
    mirror.commit("main")
    assert not mark.exists()


def test_logins_are_found_by_host_with_a_port_first() -> None:
    settings = BuildSettings(
        data_dir="/",
        credentials=(
            HostCredential(host="h.example", username="any"),
            HostCredential(host="H.example:8443", username="one"),
        ),
    )
    assert settings.credential_for(parse("https://h.example:8443/x")).username == "one"
    assert settings.credential_for(parse("https://h.example/x")).username == "any"
    assert settings.credential_for(parse("https://other.example/x")) == HostCredential(host="other.example")


def test_a_login_that_others_can_read_or_that_is_missing_is_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    address = parse("https://h.example/x")
    with pytest.raises(UserError, match=r"token_file.*No such file"):
        git_environment({}, address, HostCredential(host="", token_file=str(token)), tmp_path)
    token.write_text("secret")
    token.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        git_environment({}, address, HostCredential(host="", token_file=str(token)), tmp_path)
    token.chmod(0o600)
    env = git_environment({}, address, HostCredential(host="", token_file=str(token)), tmp_path)
    assert "secret" not in str(env)
    assert "secret" not in (tmp_path / "askpass").read_text()
    with pytest.raises(UserError, match=r"no ssh login for h\.example"):
        git_environment({}, parse("ssh://git@h.example/x"), HostCredential(host=""), tmp_path)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Username for 'https://h.example:8443': ", "ci's"),
        ("Password for 'https://ci@h.example:8443': ", "secret"),
        ("Username for 'https://other.example': ", None),
        ("Password for 'https://ci@other.example': ", None),
        ("Password for 'https://ci@h.example': ", None),
        ("Password for 'https://x@h.example:8443.evil.example': ", None),
        ("ssh passphrase", None),
    ],
)
def test_the_token_is_told_for_its_own_host_only(prompt: str, answer: str | None, tmp_path: Path) -> None:
    token = tmp_path / "to ken"
    token.write_text("secret\n")
    token.chmod(0o600)
    credential = HostCredential(host="", token_file=str(token), username="ci's")
    env = git_environment({}, parse("https://h.example:8443/x"), credential, tmp_path)
    done = subprocess.run([env["GIT_ASKPASS"], prompt], capture_output=True, text=True, check=False)
    assert (done.stdout.strip() or None) == answer
    assert (done.returncode == 0) == (answer is not None)
