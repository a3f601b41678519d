"""The HTTP interface, as a WSGI application."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from shortlinks.links import Links

MAX_BODY_BYTES = 4096


class App:
    """POST /links {"url": ...} · GET /links/CODE · GET /CODE redirects."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        status, headers, body = self._answer(environ)
        data = json.dumps(body).encode()
        start_response(
            status,
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))),
                *headers,
            ],
        )
        return [data]

    def _answer(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], object]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/")
        if method == "POST" and path == "links":
            return self._add(environ)
        if method != "GET":
            return "405 Method Not Allowed", [], {"error": f"no {method} here"}
        if path.startswith("links/"):
            if link := self._links.find(path.removeprefix("links/")):
                return "200 OK", [], asdict(link)
        elif link := self._links.follow(path):
            return "302 Found", [("Location", link.url)], asdict(link)
        return "404 Not Found", [], {"error": "no such link"}

    def _add(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], object]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_BODY_BYTES:
            return "413 Content Too Large", [], {"error": f"at most {MAX_BODY_BYTES} bytes"}
        try:
            link = self._links.add(json.loads(environ["wsgi.input"].read(length))["url"])
        except (ValueError, TypeError, KeyError) as error:
            return "400 Bad Request", [], {"error": str(error)}
        return "201 Created", [("Location", f"/links/{link.code}")], asdict(link)
