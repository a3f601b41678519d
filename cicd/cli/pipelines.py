"""`cicd pipelines`: create, list, show, recompile, delete, log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cicd.cli.settings import Settings, common, pass_settings

if TYPE_CHECKING:
    from cicd.client import Client
    from cicd.messages.client import PipelineView

EXIT_FAILED = 1


@click.group()
def pipelines() -> None:
    """Create, list, show, recompile and delete pipelines."""


@pipelines.command()
@click.argument("name")
@click.argument("repo")
@click.option("--ref", default="", help="Branch, tag or commit; default: the repository's default branch.")
@click.option("--path", default=".cicd", show_default=True, help="Folder of the pipeline in the repository.")
@click.option("--description", default="", help="For people.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the first build.")
@common
@pass_settings
def create(  # noqa: PLR0917  click's options
    settings: Settings,
    name: str,
    repo: str,
    ref: str,
    path: str,
    description: str,
    no_wait: bool,  # noqa: FBT001  click's options
) -> int:
    """Create the pipeline NAME from REPO, and wait for its first build; exit 1 if that fails.

    REPO is owner/name, github.com/owner/name, or an https or ssh URL.
    """
    from cicd.messages.client import CreatePipeline, PipelineAnswer

    with settings.client() as client:
        call = CreatePipeline(name=name, repo=repo, ref=ref, path=path, description=description)
        view = client.ask(call, PipelineAnswer).view
        return _finish_build(settings, client, view, wait=not no_wait)


@pipelines.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Do not wait for the build.")
@common
@pass_settings
def recompile(settings: Settings, name: str, no_wait: bool) -> int:  # noqa: FBT001  click
    """Build the newest commit of NAME, and wait for that; exit 1 if it fails. The last good build stays in service."""
    from cicd.messages.client import PipelineAnswer, RecompilePipeline

    with settings.client() as client:
        view = client.ask(RecompilePipeline(name=name), PipelineAnswer).view
        return _finish_build(settings, client, view, wait=not no_wait)


@pipelines.command("list")
@common
@pass_settings
def list_(settings: Settings) -> None:
    """List pipelines by name."""
    from cicd.cli.output import when
    from cicd.cli.pages import all_pipelines
    from cicd.clock import SystemClock

    with settings.client() as client:
        found = all_pipelines(client)
    if settings.as_json:
        settings.out.json(found)
        return
    now_s = SystemClock().wall_s()
    settings.out.table(
        ["name", "build", "commit", "last run", "by", "source"],
        [
            (
                view.pipeline.name,
                view.pipeline.build_state.value,
                view.pipeline.commit[:10] or "-",
                f"#{view.last_run.number} {when(settings.out, view.last_run.created_s, now_s)}"
                if view.last_run
                else "-",
                view.last_run.by if view.last_run else "-",
                _source(view),
            )
            for view in found
        ],
        empty="no pipelines yet: 'cicd pipelines create NAME REPO' makes one",
    )


@pipelines.command()
@click.argument("name")
@common
@pass_settings
def show(settings: Settings, name: str) -> None:
    """Show a pipeline: its source, builds, parameters and jobs."""
    from cicd.messages.client import PipelineAnswer, ShowPipeline

    with settings.client() as client:
        view = client.ask(ShowPipeline(name=name), PipelineAnswer).view
    if settings.as_json:
        settings.out.json(view)
    else:
        _print_pipeline(settings, view)


@pipelines.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@pass_settings
def delete(settings: Settings, name: str, yes: bool) -> None:  # noqa: FBT001  click
    """Delete a pipeline. Refused while it has active runs."""
    from cicd.messages.client import DeletePipeline, Done

    if not yes:
        click.confirm(f"Delete the pipeline {name}?", abort=True, err=True)
    with settings.client() as client:
        client.ask(DeletePipeline(name=name), Done)
    if settings.as_json:
        settings.out.json({"deleted": name})
    else:
        settings.out.line(f"{name} is deleted")


@pipelines.command()
@click.argument("name")
@click.option("--build", type=click.IntRange(1), help="Which build; default: the newest.")
@click.option("-f", "--follow", is_flag=True, help="Go on while it is built.")
@common
@pass_settings
def log(settings: Settings, name: str, build: int | None, follow: bool) -> None:  # noqa: FBT001  click
    """Print the log of a build of NAME."""
    from cicd.cli.log_lines import LogLines
    from cicd.messages.client import FollowBuild, LogText, PipelineAnswer

    lines = LogLines()
    with settings.client() as client, client.stream(FollowBuild(name=name, build=build or 0, follow=follow)) as stream:
        for item in stream:
            if not settings.as_json:
                if isinstance(item, LogText):
                    settings.out.raw(item.data)
                continue
            for number, line in lines.feed(item.data) if isinstance(item, LogText) else lines.rest():
                settings.out.json({"kind": "line", "number": number, "text": line.decode(errors="replace")})
            if isinstance(item, PipelineAnswer):
                settings.out.json({"kind": "pipeline", "pipeline": item.view.pipeline})


def _finish_build(settings: Settings, client: Client, view: PipelineView, *, wait: bool) -> int:
    from cicd.cli.build_follow import report_build, wait_for_build

    build = view.pipeline.build
    if wait:
        view = wait_for_build(settings.out, client, view.pipeline.name, build)
        return 0 if report_build(settings.out, view, build) else EXIT_FAILED
    if settings.as_json:
        settings.out.json(view)
    else:
        name = view.pipeline.name
        settings.out.line(f"{name} is being built: build {build}; 'cicd pipelines log {name} -f' follows it")
    return 0


def _source(view: PipelineView) -> str:
    source = view.pipeline.source
    return f"{source.repository}{f'@{source.ref}' if source.ref else ''}:{source.path}"


def _print_pipeline(settings: Settings, view: PipelineView) -> None:
    from cicd.cli import words
    from cicd.cli.output import when
    from cicd.clock import SystemClock

    out, pipeline, spec, last = settings.out, view.pipeline, view.spec, view.last_run
    now_s = SystemClock().wall_s()
    out.fields(
        [
            ("name", pipeline.name),
            ("id", pipeline.id),
            ("description", pipeline.description or (spec.description if spec else "")),
            ("source", _source(view)),
            ("created", f"{when(out, pipeline.created_s, now_s)} by {pipeline.created_by}"),
            ("modified", when(out, pipeline.modified_s, now_s)),
            ("build", f"{pipeline.build_state.value} (build {pipeline.build})"),
            ("error", pipeline.build_error),
            ("commit", pipeline.commit),
            ("plugin", pipeline.plugin or "none yet"),
            ("last run", f"#{last.number} by {last.by}, {when(out, last.created_s, now_s)}" if last else "none yet"),
        ]
    )
    if spec is None:
        return
    if spec.params:
        out.line("")
        out.table(
            ["param", "type", "default", "choices", "about"],
            [
                (
                    param.name,
                    param.type.value,
                    "required" if param.required else (param.default if param.default is not None else "-"),
                    ", ".join(param.choices) or "-",
                    param.description,
                )
                for param in spec.params
            ],
        )
    out.line("")
    out.table(
        ["job", "needs", "timeout", "idempotent", "labels", "about"],
        [
            (
                job.name,
                ", ".join(job.needs) or "-",
                words.duration(job.timeout_s) if job.timeout_s else "-",
                "yes" if job.idempotent else "no",
                ", ".join(job.labels) or "-",
                job.title or job.description.partition("\n")[0],
            )
            for job in spec.jobs
        ],
    )
