"""What people type for a repository, and what git is given."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd.errors import CicdError, RefusedError, UserError
from cicd.plugins.repository import Address, canonical, check_path, check_ref, make_source, parse

HOSTS = ("github.com", "git.example.com", "[::1]", "git.example.org:2222")


@pytest.mark.parametrize(
    ("text", "long_form"),
    [
        ("owner/name", "https://github.com/owner/name.git"),
        ("owner/name.git", "https://github.com/owner/name.git"),
        ("owner/.github", "https://github.com/owner/.github.git"),
        ("github.com/owner/name", "https://github.com/owner/name.git"),
        ("GitHub.com/owner/name/", "https://github.com/owner/name.git"),
        ("https://github.com/owner/name", "https://github.com/owner/name.git"),
        ("https://GITHUB.com:443/owner/name.git/", "https://github.com/owner/name.git"),
        ("git.example.com/owner/name", "https://git.example.com/owner/name.git"),
        ("https://git.example.com/a/b/c", "https://git.example.com/a/b/c"),
        ("https://git.example.com:8443/x.git", "https://git.example.com:8443/x.git"),
        ("ssh://git@github.com/owner/name.git", "ssh://git@github.com/owner/name.git"),
        ("ssh://github.com/owner/name", "ssh://git@github.com/owner/name.git"),
        ("git@github.com:owner/name.git", "ssh://git@github.com/owner/name.git"),
        ("git@github.com:/owner/name", "ssh://git@github.com/owner/name.git"),
        ("ci@git.example.com:repos/x.git", "ci@git.example.com:repos/x.git"),
        ("ssh://ci@git.example.org:2222/srv/x.git", "ssh://ci@git.example.org:2222/srv/x.git"),
        ("ssh://[0:0::1]:2200/srv/x.git", "ssh://git@[::1]:2200/srv/x.git"),
    ],
)
def test_each_way_to_write_a_repository_has_one_long_form_that_is_kept(text: str, long_form: str) -> None:
    assert canonical(text, allowed_hosts=HOSTS) == long_form
    assert canonical(long_form, allowed_hosts=HOSTS) == long_form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "name",
        "a/b/c",
        "http://github.com/owner/name",
        "git://github.com/owner/name",
        "ftp://github.com/owner/name",
        "ext::sh -c touch% /tmp/x",
        "ext::sh",
        "fd::17/foo",
        "transport::https://github.com/owner/name",
        "-oProxyCommand=sh/x",
        "--upload-pack=sh",
        "ssh://-oProxyCommand=sh/x",
        "ssh://git@-oProxyCommand=sh/x",
        "-x@github.com:owner/name",
        "git@-oProxyCommand=sh:x",
        "git@github.com:-x/name",
        "git@github.com::x",
        "https://user@github.com/owner/name",
        "https://user:secret@github.com/owner/name",
        "https://:secret@github.com/owner/name",
        "ssh://git:secret@github.com/owner/name",
        "https://github.com/owner/name?x=1",
        "https://github.com/owner/name#x",
        "https://github.com",
        "https://github.com/",
        "https://github.com/owner/../name",
        "https://github.com/owner/%2e%2e/name",
        "https://github.com/owner/na%0ame",
        "https://github.com/owner/na me",
        "https://github.com:99999/owner/name",
        "https://git_hub/owner/name",
        "https://[::g]/owner/name",
        "owner/name\n",
        "owner/na\0me",
        "owner/..",
        "https:///owner/name",
        "file://host/path",
        "x" * 1001,
    ],
)
def test_what_is_no_repository_or_could_do_harm_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        canonical(text, allowed_hosts=HOSTS, allow_local=True)


def test_a_host_off_the_list_is_refused_with_its_name_and_the_config_key() -> None:
    with pytest.raises(RefusedError, match=r"'evil\.example'.*compiler\.allowed_hosts.*github\.com") as caught:
        canonical("https://evil.example/owner/name")
    assert caught.value.code == "refused"
    for text in ("https://github.com.evil.example/o/n", "git@evil.example:o/n", "ssh://git@evil.example/o/n"):
        with pytest.raises(RefusedError):
            canonical(text)


def test_a_port_on_the_list_allows_that_port_only() -> None:
    assert canonical("ssh://git@h.example:2222/x", allowed_hosts=["h.example:2222"])
    assert canonical("https://h.example/x", allowed_hosts=["H.example:443"])
    assert canonical("https://h.example:1/x", allowed_hosts=["h.example"])
    for text in ("ssh://git@h.example/x", "https://h.example/x", "https://h.example:2223/x"):
        with pytest.raises(RefusedError):
            canonical(text, allowed_hosts=["h.example:2222"])


def test_local_paths_only_where_the_config_says_so() -> None:
    for text in ("/srv/x.git", "file:///srv/x.git"):
        assert canonical(text, allow_local=True) == "/srv/x.git"
        with pytest.raises(RefusedError, match=r"compiler\.allow_local"):
            canonical(text)
    with pytest.raises(UserError):
        canonical("/srv/../etc", allow_local=True)


def test_the_long_form_says_who_is_spoken_to() -> None:
    assert parse("https://h.example/x") == Address("https", "h.example", 443, "")
    assert parse("ssh://ci@h.example:22022/x") == Address("ssh", "h.example", 22022, "ci")
    assert parse("ci@h.example:x/y") == Address("ssh", "h.example", 22, "ci")
    assert parse("/srv/x") == Address("file")


@given(st.text(max_size=60))
def test_whatever_is_typed_there_is_a_long_form_or_one_of_our_errors(text: str) -> None:
    try:
        long_form = canonical(text, allowed_hosts=HOSTS, allow_local=True)
    except CicdError:
        return
    assert canonical(long_form, allowed_hosts=HOSTS, allow_local=True) == long_form
    assert long_form.startswith(("https://", "ssh://", "/")) or "@" in long_form


@pytest.mark.parametrize(
    "ref", ["", "main", "feature/x", "v1.0", "0123456789abcdef0123456789abcdef01234567", "a-b", "ü"]
)
def test_refs_that_git_knows_are_kept(ref: str) -> None:
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    ["-x", "--upload-pack=sh", "a b", "a..b", "a~1", "a^", "a:b", "+a:b", "a?", "a*", "[a", "a\\b", "a//b", "/a", "a/",
     "a.", ".a", "a/.b", "a.lock", "a.lock/b", "@", "a@{1}", "a\nb", "\x7f", "x" * 1001],
)  # fmt: skip
def test_refs_that_are_options_or_more_than_a_name_are_refused(ref: str) -> None:
    with pytest.raises(UserError):
        check_ref(ref)


@given(st.text(alphabet=st.sampled_from("ab/.@{~^:*?[\\ -\x7f"), min_size=1, max_size=6))
def test_no_ref_is_taken_that_git_check_ref_format_refuses(ref: str) -> None:
    try:
        check_ref(ref)
    except UserError:
        return
    subprocess.run(["git", "check-ref-format", f"refs/heads/{ref}"], check=True)


def test_folders_are_inside_the_repository() -> None:
    assert [check_path(path) for path in (".cicd", "a//b/./c/", ".", "./")] == [".cicd", "a/b/c", ".", "."]
    for path in ("/etc", "..", "a/../..", "a/..", "-x", "a\\b", "a\0", "", ".git", "a/.GIT/hooks", "a\nb"):
        with pytest.raises(UserError):
            check_path(path)


def test_a_source_is_made_of_all_three() -> None:
    source = make_source("owner/name", "v1")
    assert (source.repository, source.ref, source.path) == ("https://github.com/owner/name.git", "v1", ".cicd")
