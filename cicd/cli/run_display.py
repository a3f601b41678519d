"""What is printed while a run is followed: for a terminal, for a pipe, for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from cicd.cli import words
from cicd.cli.output import Output, clean
from cicd.messages.client import JobView, LogEndInfo
from cicd.messages.run import JobState, RunRecord

if TYPE_CHECKING:
    from rich.status import Status


class RunDisplay(Protocol):
    """Is told what happens, in order."""

    def names(self, jobs: list[str]) -> None:
        """There are these jobs, among others."""
        ...

    def run(self, run: RunRecord, waits: str = "") -> None:
        """The run is known, or changed. `waits`: why it has not been let in."""
        ...

    def job(self, view: JobView) -> None:
        """A job is known, or changed."""
        ...

    def line(self, job: str, attempt: int, number: int, text: bytes) -> None:
        """Line `number` of a job's log."""
        ...

    def log_end(self, job: str, end: LogEndInfo) -> None:
        """A job's log is over."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def display_for(out: Output) -> RunDisplay:
    """Return the display that fits where output goes."""
    if out.as_json:
        return JsonDisplay(out)
    return TerminalDisplay(out) if out.is_terminal else PlainDisplay(out)


def story(view: JobView) -> str:
    """Return in words how a job stands."""
    job = view.job
    match job.state:
        case JobState.WAITING:
            text = "waits for the jobs it needs"
        case JobState.QUEUED:
            again = f"again, for attempt {job.attempt + 1} " if job.attempt else ""
            text = f"queued {again}{f'({view.waits})' if view.waits else ''}".rstrip()
        case JobState.ASSIGNED:
            text = f"sent to {job.minion_name}"
        case JobState.RUNNING:
            which = job.message or (f"attempt {job.attempt}" if job.attempt > 1 else "")
            text = f"running on {job.minion_name}{f', {which}' if which else ''}"
        case JobState.BACKOFF:
            text = f"attempt {job.attempt} failed: {job.message}; the next follows in {words.duration(job.backoff_s)}"
        case JobState.SUCCEEDED:
            told = f": {job.message}" if job.message else ""
            text = f"succeeded in {words.between(job.started_s, job.finished_s)}{told}" if job.attempt else job.message
        case _:
            state = job.state.value.replace("_", " ") + (" (allowed)" if words.is_allowed(job) else "")
            text = f"{state}: {job.message}" if job.message else state
    return text


class _Lines:
    """Common to what people read: job names in front, one line for each change that they care about."""

    _QUIET = frozenset({JobState.WAITING, JobState.ASSIGNED})

    def __init__(self, out: Output) -> None:
        self._out = out
        self._width = 0
        self._told: dict[str, str] = {}
        self._waits = ""

    def _news(self, view: JobView) -> str:
        """Return what to tell of a change; nothing when it is none for people."""
        text = story(view)
        if view.job.state in self._QUIET or self._told.get(view.job.name) == text:
            return ""
        if view.job.state is JobState.QUEUED and not view.waits and not view.job.attempt:
            return ""
        self._told[view.job.name] = text
        return text

    def names(self, jobs: list[str]) -> None:
        """Make room for the names."""
        self._width = max(self._width, *(len(job) for job in jobs), 0)

    def run(self, run: RunRecord, waits: str = "") -> None:
        """Say why it waits; all else the jobs say."""
        if waits and waits != self._waits:
            self._out.line(f"-- {run.pipeline_name}#{run.number} waits: {waits}", words.style("waiting"))
        self._waits = waits

    def close(self) -> None:
        """Nothing to put away."""


class PlainDisplay(_Lines):
    """For a pipe: `job | line`, and `-- job: change`."""

    def job(self, view: JobView) -> None:
        """Print a change."""
        if text := self._news(view):
            self._out.line(f"-- {view.job.name}: {text}")

    def line(self, job: str, attempt: int, number: int, text: bytes) -> None:  # noqa: ARG002  others number lines
        """Print a line as it is, behind its job's name."""
        self._out.raw(f"{clean(job):<{self._width}} | ".encode() + text + b"\n")

    def log_end(self, job: str, end: LogEndInfo) -> None:
        """Say it when something is missing."""
        if end.gap and end.attempt:
            self._out.line(f"-- {job}: its log is not complete: {end.gap}")


class TerminalDisplay(_Lines):
    """For a terminal: the same in colour, with a line at the bottom that says what runs."""

    _COLOURS = ("cyan", "magenta", "blue", "yellow", "green", "bright_cyan", "bright_magenta", "bright_blue")

    def __init__(self, out: Output) -> None:
        super().__init__(out)
        self._console = out.console()
        self._status: Status | None = None
        self._run: RunRecord | None = None
        self._states: dict[str, JobState] = {}
        self._colours: dict[str, str] = {}

    def run(self, run: RunRecord, waits: str = "") -> None:
        """Name the run in the line at the bottom."""
        super().run(run, waits)
        self._run = run
        self._refresh()

    def job(self, view: JobView) -> None:
        """Print a change."""
        from rich.text import Text

        self._states[view.job.name] = view.job.state
        if text := self._news(view):
            look = words.style(view.job.state.value)
            self._console.print(Text.assemble((f"{clean(view.job.name)} ", f"bold {look}"), (clean(text), look)))
        self._refresh()

    def line(self, job: str, attempt: int, number: int, text: bytes) -> None:  # noqa: ARG002  others number lines
        """Print a line with its own colours, behind its job's name."""
        from rich.text import Text

        look = self._colours.setdefault(job, self._COLOURS[len(self._colours) % len(self._COLOURS)])
        shown = Text.from_ansi(text.rstrip(b"\r").decode(errors="replace"))
        self._console.print(Text.assemble((f"{clean(job):<{self._width}} | ", look), shown), soft_wrap=True)

    def log_end(self, job: str, end: LogEndInfo) -> None:
        """Say it when something is missing."""
        if end.gap and end.attempt:
            self._out.line(f"{job}: its log is not complete: {end.gap}", "yellow")

    def close(self) -> None:
        """Take the line at the bottom away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _refresh(self) -> None:
        if self._run is None:
            return
        counts: dict[str, int] = {}
        for state in self._states.values():
            counts[state.value.replace("_", " ")] = counts.get(state.value.replace("_", " "), 0) + 1
        parts = ", ".join(f"{number} {state}" for state, number in counts.items())
        text = f"{clean(self._run.pipeline_name)}#{self._run.number}: {parts or self._run.state.value}"
        if self._status is None:
            self._status = self._console.status(text, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)


class JsonDisplay:
    """For programs: one object a line, its `kind` says what it is."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def names(self, jobs: list[str]) -> None:
        """Nothing to align."""

    def run(self, run: RunRecord, waits: str = "") -> None:
        """Print the run."""
        self._out.json({"kind": "run", "run": run, "waits": waits})

    def job(self, view: JobView) -> None:
        """Print the job."""
        self._out.json({"kind": "job", **_fields(view)})

    def line(self, job: str, attempt: int, number: int, text: bytes) -> None:
        """Print a line; what is no UTF-8 is replaced."""
        shown = text.decode(errors="replace")
        self._out.json({"kind": "line", "job": job, "attempt": attempt, "number": number, "text": shown})

    def log_end(self, job: str, end: LogEndInfo) -> None:
        """Print how the log ended."""
        self._out.json({"kind": "log_end", "job": job, **_fields(end)})

    def close(self) -> None:
        """Let a reader have it all."""
        sys.stdout.flush()


def _fields(value: JobView | LogEndInfo) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__struct_fields__}
