"""Keys, key files and join tokens."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from cicd.errors import ConflictError, NotFoundError, UserError
from cicd.transport.curve import (
    KeyPair,
    from_z85,
    keypair_from_secret,
    load_key_file,
    load_or_create_keys,
    new_keypair,
    save_key_file,
    to_z85,
)
from cicd.transport.token import JoinToken, new_token

SERVER = keypair_from_secret(bytes(32), b"the server of these tests")


def test_new_pairs_are_pairs_and_differ() -> None:
    one, other = new_keypair(), new_keypair()
    assert zmq.curve_public(one.secret.encode()).decode() == one.public
    assert one != other


def test_a_derived_pair_is_the_same_everywhere_and_for_ever() -> None:
    derived = keypair_from_secret(bytes(range(32)), b"info")
    # HKDF-SHA256 by `openssl kdf`. A derivation that changes would shut out every minion that there is.
    raw = bytes.fromhex("cccad7895238973b7b227c5216571c432f4602b7264e8e35cde4d3249e93720e")
    assert from_z85(derived.secret) == raw
    assert zmq.curve_public(derived.secret.encode()).decode() == derived.public


def test_another_secret_or_purpose_derives_another_pair() -> None:
    pairs = {keypair_from_secret(secret, info) for secret in (b"a" * 32, b"b" * 32) for info in (b"x", b"y")}
    assert len(pairs) == 4


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    keys = new_keypair()
    token = new_token(SERVER.public)
    save_key_file(tmp_path / "k", keys)
    shown = f"{keys!r} {keys} {load_key_file(tmp_path / 'k')!r} {token!r} {token}"
    hidden = (keys.secret, token.render(), token.render().split(".")[3], str(token.secret), token.secret.hex())
    assert not [each for each in hidden if each in shown]
    assert token.id in shown


@given(st.binary(min_size=32, max_size=32))
def test_z85_there_and_back(raw: bytes) -> None:
    assert from_z85(to_z85(raw)) == raw


@pytest.mark.parametrize(
    "text", ["", "x", "x" * 39, "x" * 41, "x" * 45, "\0" * 40, "é" * 40, "~" * 40, "#" * 40, " " * 40]
)
def test_what_is_no_key_is_a_user_error(text: str) -> None:
    with pytest.raises(UserError, match="CURVE key"):
        from_z85(text)


# ---- files ---------------------------------------------------------------------------------------------


def test_a_key_file_is_private_and_holds_what_was_saved(tmp_path: Path) -> None:
    path, keys = tmp_path / "operator.key", new_keypair()
    extra = {"server": SERVER.public, "address": 'tcp://[::1]:5 "quoted" \\ ü'}
    before = os.umask(0)
    try:
        save_key_file(path, keys, extra)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = load_key_file(path)
    assert (loaded.keys, dict(loaded.extra)) == (keys, extra)
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    path, keys = tmp_path / "k", new_keypair()
    save_key_file(path, keys)
    with pytest.raises(ConflictError, match="exists"):
        save_key_file(path, new_keypair())
    assert load_key_file(path).keys == keys
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_key_file_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    save_key_file(path, new_keypair())
    path.chmod(mode)
    with pytest.raises(UserError, match="chmod 600"):
        load_key_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\xff\xfe",
        "public = 1",
        'public = "a"\nsecret = "b"',
        f'public = "{SERVER.secret}"\nsecret = "{SERVER.secret}"',
        f'public = "{SERVER.public}"',
        "not toml",
    ],
)
def test_a_damaged_key_file_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k"
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(UserError, match="damaged"):
        load_key_file(path)


def test_files_that_cannot_be_read_or_written_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no key file"):
        load_key_file(tmp_path / "none")
    with pytest.raises(UserError, match="cannot read"):
        load_key_file(tmp_path)
    with pytest.raises(UserError, match="cannot write"):
        save_key_file(tmp_path / "none" / "k", new_keypair())


def test_whoever_comes_first_makes_the_pair_and_all_get_it(tmp_path: Path) -> None:
    found: list[KeyPair] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_or_create_keys(tmp_path / "server.key"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {load_or_create_keys(tmp_path / "server.key")}


# ---- tokens --------------------------------------------------------------------------------------------


@given(st.binary(min_size=42, max_size=42))
def test_a_token_survives_being_written_and_read(random: bytes) -> None:
    taken = iter([random[:10], random[10:]])
    token = new_token(SERVER.public, lambda _: next(taken))
    text = token.render()
    assert JoinToken.parse(f"  {text}\n") == token
    assert text.startswith("cicd1.")
    assert all(character.isalnum() or character in "._-" for character in text), "a shell would change it"
    assert token.client_keys() == JoinToken.parse(text).client_keys()


def test_tokens_differ_and_so_do_their_keys() -> None:
    tokens = [new_token(SERVER.public) for _ in range(10)]
    assert len({token.id for token in tokens}) == len({token.client_keys().public for token in tokens}) == 10


def altered() -> dict[str, str]:
    text = new_token(SERVER.public).render()
    version, server, token_id, secret = text.split(".")
    short = base64.urlsafe_b64encode(bytes(31)).rstrip(b"=").decode()
    # The last character of 43 carries two bits that no byte has: another text for the same bytes.
    twin = secret[:-1] + chr(ord(secret[-1]) + 1)
    return {
        "empty": "",
        "a word": "hello",
        "another version": f"cicd2.{server}.{token_id}.{secret}",
        "cut after the key": f"{version}.{server}",
        "one part more": f"{text}.x",
        "cut in the secret": text[:-1],
        "empty secret": f"{version}.{server}.{token_id}.",
        "empty key": f"{version}..{token_id}.{secret}",
        "empty id": f"{version}.{server}..{secret}",
        "odd id": f"{version}.{server}.../../x.{secret}",
        "capital id": f"{version}.{server}.{token_id.upper()}.{secret}",
        "short key": f"{version}.{short}.{token_id}.{secret}",
        "padding": f"{text}=",
        "plain base64": f"{version}.{server}.{token_id}.{'+/' * 21}A",
        "not ascii": f"{version}.{server}.{token_id}.{'é' * 43}",
        "space inside": f"{version}.{server}.{token_id}.{secret[:20]} {secret[21:]}",
        "two texts for one secret": f"{version}.{server}.{token_id}.{twin}",
    }


@pytest.mark.parametrize("text", altered().values(), ids=altered())
def test_a_token_that_was_altered_is_refused_in_one_clear_line(text: str) -> None:
    with pytest.raises(UserError) as caught:
        JoinToken.parse(text)
    message = str(caught.value)
    assert "join token" in message
    assert "\n" not in message
    secret = text.rpartition(".")[2]
    assert len(secret) < 10 or secret not in message


def test_a_token_for_a_key_that_is_none_is_not_made() -> None:
    with pytest.raises(UserError):
        new_token("nonsense")
