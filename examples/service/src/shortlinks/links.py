"""The links, kept in SQLite."""

import sqlite3
from dataclasses import dataclass
from urllib.parse import urlsplit

from shortlinks import codes


@dataclass(frozen=True)
class Link:
    code: str
    url: str
    hits: int = 0


class Links:
    """All links of one database; ":memory:" keeps them until `close`."""

    def __init__(self, path: str = ":memory:") -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS links"
            " (id INTEGER PRIMARY KEY, url TEXT UNIQUE NOT NULL, hits INTEGER NOT NULL DEFAULT 0)"
        )

    def add(self, url: str) -> Link:
        """Keep a link; the same one keeps its code."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        self._db.execute("INSERT OR IGNORE INTO links (url) VALUES (?)", (url,))
        row = self._db.execute("SELECT id, url, hits FROM links WHERE url = ?", (url,)).fetchone()
        return Link(codes.encode(row[0]), row[1], row[2])

    def find(self, code: str) -> Link | None:
        """Return a link by its code."""
        try:
            number = codes.decode(code)
        except ValueError:
            return None
        row = self._db.execute("SELECT url, hits FROM links WHERE id = ?", (number,)).fetchone()
        return Link(code, *row) if row else None

    def follow(self, code: str) -> Link | None:
        """Return a link by its code and count the visit."""
        if link := self.find(code):
            self._db.execute("UPDATE links SET hits = hits + 1 WHERE id = ?", (codes.decode(code),))
        return link

    def close(self) -> None:
        self._db.close()
