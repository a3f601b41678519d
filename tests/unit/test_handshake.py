"""The handshake's line is found in output that is not trusted, and only a socket of our own folder is accepted."""

import socket

import pytest

from cicd.plugins.handshake import LIMIT_BYTES, HandshakeReader, PluginError, socket_in


def read(*pieces: bytes) -> tuple[bytes | None, bytes]:
    output: list[bytes] = []
    reader = HandshakeReader(output.append)
    for piece in pieces:
        reader.feed(piece)
    return reader.address, b"".join(output)


def test_the_line_is_taken_out_and_the_rest_handed_on():
    assert read(b"warn\n1|1|unix|/x/s|grpc|\nafter") == (b"/x/s", b"warn\nafter")


def test_it_may_come_in_any_pieces():
    line = b"a\n1|1|unix|/x/s|grpc|\nb"
    for cut in range(len(line)):
        assert read(line[:cut], line[cut:]) == (b"/x/s", b"a\nb")


def test_after_output_without_a_newline():
    assert read(b"loading...1|1|unix|/x/s|grpc\n") == (b"/x/s", b"loading...")


def test_seven_fields_are_understood():
    assert read(b"1|1|unix|/x/s|grpc|cert|true\n")[0] == b"/x/s"


@pytest.mark.parametrize(
    "line",
    [b"1|1|tcp|127.0.0.1:1|grpc|\n", b"2|1|unix|/x|grpc|\n", b"1|7|unix|/x|grpc|\n", b"1|1|unix|/x|netrpc|\n"],
)
def test_what_cannot_be_spoken_with_is_refused(line):
    with pytest.raises(PluginError):
        read(line)


def test_a_program_that_only_prints_is_given_up():
    with pytest.raises(PluginError, match="no handshake"):
        read(b"x" * LIMIT_BYTES, b"y")


def test_only_a_socket_directly_in_the_folder(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(outside / "s"))
    (inside / "link").symlink_to(outside / "s")
    (inside / "file").touch()
    own = socket.socket(socket.AF_UNIX)
    own.bind(str(inside / "ok"))
    try:
        assert socket_in(str(inside / "ok").encode(), inside) == str(inside / "ok")
        bad = [outside / "s", inside / "link", inside / "file", inside / "none", inside / ".." / "out" / "s"]
        for path in bad:
            with pytest.raises(PluginError):
                socket_in(str(path).encode(), inside)
    finally:
        sock.close()
        own.close()
