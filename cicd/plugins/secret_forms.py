"""The forms that a secret takes in output: as it is, and in the encodings that programs print. Pure.

A text is looked for line by line, since output is lines: raw, JSON (escaped), Python's `repr`, URL (percent), hex, and
base64. Base64 depends on where in its input the secret begins: there are three alignments, of each of which only the
characters are looked for that the secret alone decides. Those at the edges it decides in part: they are told apart as
`before` and `after`, to be masked with the rest.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from urllib.parse import quote_from_bytes, quote_plus

MIN_BYTES = 4
"""A shorter value would mask half of what is printed, and is no secret."""

_STANDARD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URLSAFE = _STANDARD[:-2] + b"-_"
_BITS = 6
_LEADS = (0, 2, 3)
"""Characters that are not the secret's alone when 0, 1, 2 bytes come before it."""


@dataclass(frozen=True)
class Form:
    """A text to mask.

    Attributes:
        text: what is looked for; at least `MIN_BYTES` long.
        before: characters that belong to it when one of them comes just before.
        after: the same, just after it.
    """

    text: bytes
    before: bytes = b""
    after: bytes = b""


def forms_of(value: bytes) -> list[Form]:
    """Return all forms of a secret; none: it is too short.

    Args:
        value: any bytes; space around it and its lines is not part of it.
    """
    lines = [line.strip() for line in value.strip().splitlines()]
    found: dict[bytes, Form] = {}
    for line in lines:
        if len(line) >= MIN_BYTES:
            for form in (*_plain(line), *_base64(line)):
                if len(form.text) >= MIN_BYTES:
                    found.setdefault(form.text, form)
    return sorted(found.values(), key=lambda form: -len(form.text))


def _plain(line: bytes) -> list[Form]:
    texts = {line, line.hex().encode(), line.hex().upper().encode(), repr(line)[2:-1].encode()}
    for safe in ("", "/", "/:"):
        percent = quote_from_bytes(line, safe=safe).encode()
        texts |= {percent, _lower_percent(percent)}
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return [Form(one) for one in texts]
    plus = quote_plus(text).encode()
    texts |= {plus, _lower_percent(plus), repr(text)[1:-1].encode(errors="replace")}
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(errors="replace")
        texts |= {escaped, escaped.replace(b"/", b"\\/")}
    return [Form(one) for one in texts]


def _lower_percent(text: bytes) -> bytes:
    """Return percent-encoded text with its hex digits in lower case."""
    first, *rest = text.split(b"%")
    return b"%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64(line: bytes) -> list[Form]:
    found = []
    for shift, lead in enumerate(_LEADS):
        bits = 8 * (shift + len(line))
        padded = b"\0" * shift + line
        # Whatever follows the secret decides the rest of its last character: both extremes are the ends of a range.
        low = base64.b64encode(padded + b"\0\0\0")
        high = base64.b64encode(padded + b"\xff\xff\xff")
        own_first = base64.b64encode(b"\xff" * shift + line)
        end = bits // _BITS
        for alphabet in (_STANDARD, _URLSAFE):
            table = bytes.maketrans(_STANDARD, alphabet)
            after = _between(low[end], high[end], alphabet) if bits % _BITS else b""
            before = _like(low[lead - 1], own_first[lead - 1], alphabet) if lead else b""
            found.append(Form(low[lead:end].translate(table), before, after))
    return found


def _between(low: int, high: int, alphabet: bytes) -> bytes:
    return alphabet[_STANDARD.index(low) : _STANDARD.index(high) + 1]


def _like(zeros: int, ones: int, alphabet: bytes) -> bytes:
    """Return the characters that share the bits that are equal in both."""
    a, b = _STANDARD.index(zeros), _STANDARD.index(ones)
    fixed = ~(a ^ b) & 63
    return bytes(alphabet[value] for value in range(64) if value & fixed == a & fixed)
