"""Clients that break the rules lose their call or their connection; the job and the others go on."""

import socket

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cicd.plugins.pb import pipeline_pb2 as pb
from cicd_sdk._grpc import Call, Connection

SOURCE = """
import cicd_sdk as ci
pipeline = ci.Pipeline("x")
@pipeline.job
def a(): pass
if __name__ == "__main__":
    pipeline.main()
"""
DESCRIBE = "/cicd.plugin.v1.Pipeline/Describe"


class Client:
    """A client by hand, to say what no library would."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.h2.initiate_connection()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def start(self, path=DESCRIBE, *, end=False, **headers):
        stream = self.h2.get_next_available_stream_id()
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        fields = {
            **{n: v for n, v in fields.items() if n[0] == ":"},
            **{n: v for n, v in fields.items() if n[0] != ":"},
        }
        self.h2.send_headers(stream, list(fields.items()), end_stream=end)
        return stream

    def answer(self, stream):
        """Return all headers and trailers of the answer, and its data."""
        headers, body = {}, b""
        self.flush()
        while True:
            data = self.socket.recv(65536)
            assert data, "the connection was closed"
            for event in self.h2.receive_data(data):
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    headers |= dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    self.flush()
                    return headers, body
            self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture
def plugin(start_plugin):
    plugin = start_plugin(SOURCE)
    yield plugin
    assert plugin.run(lambda stub: stub.Describe(pb.DescribeRequest())).name == "x", "it did not survive"
    assert plugin.result(job="a").status == pb.STATUS_SUCCEEDED


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x01\x00\x00\x00\x00\x00\x01x",  # data before settings
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
            b"\x00\x00\x05\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff\xff"
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
            b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        ),
    ],
)
def test_garbage_closes_its_connection(plugin, data):
    with Client(plugin.path) as client:
        client.socket.sendall(data)
        while client.socket.recv(65536):
            pass


def test_half_a_request_and_nothing_more(plugin):
    with Client(plugin.path) as client:
        stream = client.start()
        client.h2.send_data(stream, b"\0\0\0\0\x09abc")
        client.flush()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"\x01\0\0\0\0", "12"),  # compressed
        ({}, b"\0\0\0\0\x05ab", "13"),  # ends inside the message
        ({}, b"", "13"),  # no message
        ({}, b"\0\0", "13"),
        ({}, b"\0\0\0\0\0\0\0\0\0\0", "13"),  # two messages
        ({}, b"\0\xff\xff\xff\xff", "8"),  # says that it has 4 GiB
        ({}, b"\0\0\0\0\x02\xff\xff", "13"),  # no protobuf
        ({"path": "/cicd.plugin.v1.Pipeline/nope"}, b"\0\0\0\0\0", "12"),
        ({}, b"\0\0\0\0\0", "0"),
        ({"grpc_timeout": "nonsense"}, b"\0\0\0\0\0", "0"),
        ({"grpc_timeout": "10S"}, b"\0\0\0\0\0", "0"),
        ({"content_type": "application/grpc+proto"}, b"\0\0\0\0\0", "0"),
    ],
)
def test_what_a_broken_request_is_told(plugin, headers, body, status):
    with Client(plugin.path) as client:
        stream = client.start(**headers)
        client.h2.send_data(stream, body, end_stream=True)
        told, _ = client.answer(stream)
        assert (told[":status"], told["grpc-status"]) == ("200", status)
        assert told["content-type"] == "application/grpc"
        stream = client.start()  # the connection is as good as before
        client.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        assert client.answer(stream)[0]["grpc-status"] == "0"


@pytest.mark.parametrize(("headers", "status"), [({"content_type": "text/html"}, "415"), ({":method": "GET"}, "405")])
def test_what_is_no_grpc_at_all(plugin, headers, status):
    with Client(plugin.path) as client:
        stream = client.start(end=True, **headers)
        assert client.answer(stream)[0] == {":status": status}


def test_an_early_answer_does_not_wait_for_the_request(plugin):
    with Client(plugin.path) as client:
        stream = client.start(path="/x/y")
        assert client.answer(stream)[0]["grpc-status"] == "12"


def test_a_status_text_is_percent_encoded(start_plugin):
    plugin = start_plugin(SOURCE)
    with Client(plugin.path) as client:
        stream = client.start(path="/cicd.plugin.v1.Pipeline/RunJob")
        request = pb.RunJobRequest(job="ä%").SerializeToString()
        client.h2.send_data(stream, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
        assert "'%C3%A4%25'" in client.answer(stream)[0]["grpc-message"]


def test_a_window_of_nothing_holds_only_its_call(plugin):
    with Client(plugin.path) as client:
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        stream = client.start()
        client.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        client.flush()
        assert plugin.health().status == 1
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        assert client.answer(stream)[0]["grpc-status"] == "0"


def test_pings_are_answered(plugin):
    with Client(plugin.path) as client:
        client.h2.ping(b"12345678")
        client.flush()
        while not any(
            isinstance(event, h2.events.PingAckReceived) for event in client.h2.receive_data(client.socket.recv(65536))
        ):
            pass


def test_a_client_that_says_goodbye(plugin):
    with Client(plugin.path) as client:
        client.h2.close_connection()
        client.flush()
        while client.socket.recv(65536):
            pass


def test_a_peer_that_never_reads_is_not_read_either(plugin):
    """Each ping asks for an answer: without a bound they would fill the memory."""
    with Client(plugin.path) as client:
        client.flush()
        client.socket.settimeout(1)
        ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678" * 4096
        sent = 0
        with pytest.raises(TimeoutError):  # noqa: PT012 - one of the sends blocks
            while sent < 100_000_000:
                sent += client.socket.send(ping)
        assert sent < 20_000_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_damage_raises_nothing(data):
    """Any bytes, behind a good beginning, end in an answer or a closed connection, never in an error."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", DESCRIBE),
        (":authority", "x"),
        ("content-type", "application/grpc"),
    ]
    client.send_headers(1, fields)
    client.send_data(1, b"\0\0\0\0\0", end_stream=True)
    sent = bytearray(client.data_to_send())
    for at, value in data.draw(st.lists(st.tuples(st.integers(24, len(sent) - 1), st.integers(0, 255)), max_size=4)):
        sent[at] = value
    sent += data.draw(st.binary(max_size=40))
    calls = []
    connection = Connection(calls.append, {DESCRIBE})
    for part in (bytes(sent[:40]), bytes(sent[40:])):
        if connection.open:
            connection.receive(part)
            connection.take()
    for call in calls:
        assert isinstance(call, Call)
        call.reply(b"answer")
    connection.take()
    connection.lost()
