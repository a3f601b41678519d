"""Waits for a pipeline's build, its log beside the result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from cicd.cli.log_lines import LogLines
from cicd.cli.output import Output
from cicd.client import Client
from cicd.messages.client import FollowBuild, LogText, PipelineAnswer, PipelineView, ShowPipeline
from cicd.messages.pipeline import BuildState

_TICK_S = 0.25


def wait_for_build(
    out: Output, client: Client, name: str, build: int, *, tick: Callable[[], object] = lambda: None
) -> PipelineView:
    """Follow a build to its end and return the pipeline as it is then; its log goes to stderr, dimmed on a terminal.

    Args:
        out: where to say things.
        client: with no other stream open.
        name: of the pipeline.
        build: its number.
        tick: called several times a second.

    Raises:
        CicdError: it cannot be followed.
    """
    lines = LogLines()
    busy = out.console().status(f"building {name}") if out.is_terminal else nullcontext()
    with busy, client.stream(FollowBuild(name=name, build=build)) as stream:
        over = False
        while not over:
            for event in client.events(_TICK_S):
                answer = event.answer
                for _, line in lines.feed(answer.data) if isinstance(answer, LogText) else lines.rest():
                    out.log_note(line)
                over = answer is None
            tick()
        if stream.error is not None:
            raise stream.error
    return client.ask(ShowPipeline(name=name), PipelineAnswer).view


def report_build(out: Output, view: PipelineView, build: int) -> bool:
    """Print how a build ended; return whether it was good."""
    from cicd.cli.words import count

    pipeline = view.pipeline
    good = pipeline.build_state is not BuildState.FAILED
    if out.as_json:
        out.json(view)
    elif good:
        jobs = f": {count(len(view.spec.jobs), 'job')}" if view.spec is not None else ""
        out.line(f"{pipeline.name} is ready{jobs}, commit {pipeline.commit[:10]}, build {build}", "green")
    if not good:
        out.complain(f"build {build} of {pipeline.name} failed: {pipeline.build_error}", code="build_failed")
    return good
