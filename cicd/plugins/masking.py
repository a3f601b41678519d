"""Masks secrets in a stream, before anything of it is kept, however the stream is cut.

Every form of every secret (`secret_forms`) is searched for by itself: `bytes.find` runs at the speed of memory, and
what overlaps is found too. What is found becomes `***`, once for what touches. At the end of each piece only that is
held back which is the beginning of a form, so that a prompt without a newline is shown at once:

    ... output  [already masked | may go on to be a form]
                 `-- covered --'
                `------------ held ---------------------'
"""

from __future__ import annotations

from cicd.plugins.secret_forms import MIN_BYTES, Form, forms_of

MASK = b"***"

Span = tuple[int, int]


class Masker:
    """Masks one stream. Without a secret it costs nothing: look at `active` before `feed`.

    Attributes:
        active: whether there is anything to mask.
    """

    def __init__(self) -> None:
        self._forms: dict[bytes, Form] = {}
        self._by_start: dict[bytes, list[bytes]] = {}
        self._short_starts: set[bytes] = set()
        self._longest = 0
        self._held = b""
        self._covered = 0
        self._open = False
        self.active = False

    def add(self, value: bytes) -> bool:
        """Mask this from now on; return False if it is too short for that, or empty."""
        forms = forms_of(value)
        for form in forms:
            if form.text not in self._forms:
                self._forms[form.text] = form
                self._by_start.setdefault(form.text[:MIN_BYTES], []).append(form.text)
                self._short_starts |= {form.text[:length] for length in range(1, MIN_BYTES)}
                self._longest = max(self._longest, len(form.text))
        self.active = bool(self._forms)
        return bool(forms)

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the stream; return what is certain now."""
        if not data:
            return b""
        data = self._held + data
        spans = self._spans(data)
        hold = self._hold(data, spans)
        return self._release(data, spans, hold)

    def flush(self) -> bytes:
        """Return what is held back: the stream has ended."""
        data, self._held = self._held, b""
        return self._release(data, self._spans(data), len(data)) if data else b""

    def text(self, text: str) -> str:
        """Return a text of its own, masked."""
        if not self.active or not text:
            return text
        data = text.encode(errors="surrogateescape")
        done: list[bytes] = []
        place = 0
        for start, end in _merged(self._found(data)):
            done += (data[place:start], MASK)
            place = end
        return b"".join((*done, data[place:])).decode(errors="replace") if done else text

    def holds_secret(self, text: str) -> bool:
        """Return whether a text has something to mask in it."""
        return self.active and bool(self._found(text.encode(errors="surrogateescape")))

    def _found(self, data: bytes) -> list[Span]:
        spans: list[Span] = []
        for text, form in self._forms.items():
            place = data.find(text)
            while place >= 0:
                end = place + len(text)
                first = place - (place > 0 and data[place - 1] in form.before)
                spans.append((first, end + (end < len(data) and data[end] in form.after)))
                place = data.find(text, place + 1)
        return spans

    def _spans(self, data: bytes) -> list[Span]:
        spans = self._found(data)
        if self._open:
            spans.append((0, self._covered))
        return _merged(spans)

    def _hold(self, data: bytes, spans: list[Span]) -> int:
        """Return from where on the data is held back."""
        size = len(data)
        hold = size
        for place in range(max(0, size - self._longest + 1), size):
            if self._begins(data, place):
                hold = place
                break
        if spans and spans[-1][1] == size and self._ends_openly(data):
            # The next character may belong to it: look at it again then.
            hold = min(hold, max(0, size - self._longest))
        return hold

    def _begins(self, data: bytes, place: int) -> bool:
        start = data[place : place + MIN_BYTES]
        if len(start) < MIN_BYTES:
            return start in self._short_starts
        candidates = self._by_start.get(start)
        if candidates is None:
            return False
        rest = data[place:]
        return any(text.startswith(rest) for text in candidates if text != rest)

    def _ends_openly(self, data: bytes) -> bool:
        return any(form.after and data.endswith(text) for text, form in self._forms.items())

    def _release(self, data: bytes, spans: list[Span], hold: int) -> bytes:
        done: list[bytes] = []
        place = 0
        marked = self._open
        self._open, self._covered = False, 0
        for start, end in spans:
            if start > hold or (start == hold and start < len(data) and not (marked and start == 0)):
                break
            done.append(data[place:start])
            if not (marked and start == 0):
                done.append(MASK)
            place = min(end, hold)
            if end >= hold:
                self._open, self._covered = True, end - hold
        done.append(data[place:hold])
        self._held = data[hold:]
        return b"".join(done)


def _merged(spans: list[Span]) -> list[Span]:
    """Return spans in order, those that touch or overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
