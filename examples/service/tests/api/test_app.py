"""The application behind a real server on a free port."""

import http.client
import json
import threading
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from shortlinks.app import App
from shortlinks.links import Links


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def call():
    links = Links()
    server = make_server("127.0.0.1", 0, App(links), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def call(method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.headers, json.load(response)
        finally:
            connection.close()

    yield call
    server.shutdown()
    thread.join()
    server.server_close()
    links.close()


def test_a_link_is_made_and_followed(call):
    status, headers, link = call("POST", "/links", {"url": "https://example.org/long"})
    assert (status, headers["Location"]) == (201, f"/links/{link['code']}")
    status, headers, _ = call("GET", f"/{link['code']}")
    assert (status, headers["Location"]) == (302, "https://example.org/long")
    assert call("GET", f"/links/{link['code']}")[2]["hits"] == 1


def test_an_unknown_code_is_not_found(call):
    assert call("GET", "/zzz")[0] == 404
    assert call("GET", "/links/zzz")[0] == 404


@pytest.mark.parametrize("body", [{}, [], "text", {"url": "ftp://example.org"}])
def test_a_wrong_body_is_refused(call, body):
    status, _, answer = call("POST", "/links", body)
    assert (status, bool(answer["error"])) == (400, True)


def test_a_body_that_is_too_long_is_refused(call):
    assert call("POST", "/links", {"url": "https://example.org/" + "a" * 5000})[0] == 413


def test_nothing_is_deleted(call):
    assert call("DELETE", "/1")[0] == 405
