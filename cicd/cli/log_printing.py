"""Prints logs: one as it is, byte for byte, or several, each line behind its job's name."""

from __future__ import annotations

from cicd.cli import words
from cicd.cli.follow import RunFollower
from cicd.cli.log_check import LogCheck
from cicd.cli.log_lines import LogLines
from cicd.cli.output import Output
from cicd.cli.run_display import RunDisplay, display_for
from cicd.client import Client
from cicd.clock import SystemClock
from cicd.messages.client import LogEndInfo, LogText, ReadLog, RunAnswer


def print_one(out: Output, client: Client, call: ReadLog) -> None:
    """Print one log as it is, and say how it ended."""
    if out.as_json:
        _copy(out, client, call, display_for(out))
        return
    check = LogCheck()
    with client.stream(call) as stream:
        for item in stream:
            if isinstance(item, LogText):
                out.raw(item.data)
                check.feed(item.data)
            elif isinstance(item, LogEndInfo):
                out.note(ending(check.end(item)))


def print_all(out: Output, client: Client, answer: RunAnswer) -> None:
    """Print the logs of all jobs that ran, one after the other."""
    display = display_for(out)
    tried = [view.job for view in answer.jobs if view.job.attempt]
    display.names([job.name for job in tried])
    for job in tried:
        _copy(out, client, ReadLog(run=answer.run.id, job=job.name, attempt=job.attempt), display)
    display.close()


def _copy(out: Output, client: Client, call: ReadLog, display: RunDisplay) -> None:
    lines = LogLines()
    check = LogCheck()
    with client.stream(call) as stream:
        for received in stream:
            item = check.end(received) if isinstance(received, LogEndInfo) else received
            if isinstance(item, LogText):
                check.feed(item.data)
            for number, line in lines.feed(item.data) if isinstance(item, LogText) else lines.rest():
                display.line(call.job, call.attempt, number, line)
            if isinstance(item, LogEndInfo) and out.as_json:
                display.log_end(call.job, item)
            elif isinstance(item, LogEndInfo):
                out.note(f"{call.job}: {ending(item)}")


def follow_all(out: Output, client: Client, answer: RunAnswer) -> None:
    """Print the logs of all jobs as they come, until the run has ended."""
    RunFollower(client, answer.run.id, display_for(out), SystemClock()).follow()


def ending(end: LogEndInfo) -> str:
    """Return in words how a log ended."""
    if end.complete:
        return f"complete: {words.count(end.lines, 'line')}, {words.size(end.size_bytes)}, sha256 {end.sha256}"
    of = f" of {words.size(end.expected_bytes)}" if end.expected_bytes else ""
    whole = f" of {end.expected_lines}" if end.expected_lines else ""
    where = (
        f"it ends after {words.size(end.size_bytes)}{of}, in line {end.lines}{whole}"
        if end.size_bytes
        else "nothing of it is there"
    )
    since = f", since {words.moment(end.since_s)}" if end.since_s else ""
    return f"not complete: {end.gap or 'its end has not arrived'}{since}; {where}"
