"""The command line of a pipeline's program, when a person runs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cicd_sdk import _graph
from cicd_sdk._messages import NeedOn
from cicd_sdk._param import resolve
from cicd_sdk._pipeline import Pipeline
from cicd_sdk.errors import ParamError, PipelineError

_USAGE = 2
_SHOWN_ON = {NeedOn.SUCCESS: "", NeedOn.FAILURE: " (failed)", NeedOn.ANY: " (ended)"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line: the usage that argparse puts in front hides what is wrong.
        self.exit(_USAGE, f"{self.prog}: {message} (--help shows the options)\n")


def main(pipeline: Pipeline, argv: Sequence[str] | None = None) -> int:
    """Run a pipeline as the command line says.

    Args:
        pipeline: with all its jobs declared.
        argv: the arguments; default: the program's.

    Returns:
        The exit code: 0, 1 when a job failed, 2 when what was asked is wrong, 130 when it was interrupted.
    """
    parser = _parser(pipeline)
    options = parser.parse_args(argv)
    try:
        pipeline.check()
        if options.list:
            print(_listing(pipeline))  # noqa: T201 - the answer of a command
            return 0
        if options.describe:
            print(_description(pipeline))  # noqa: T201 - the answer of a command
            return 0
        names = _selected(pipeline, options.job)
        params = resolve(pipeline.params.values(), _pairs(options.param))
    except ParamError as error:
        parser.error(str(error))
    except PipelineError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return _USAGE
    from cicd_sdk._local import LocalRun

    return LocalRun(pipeline, names, params, workspace=_workspace(), parallel=options.parallel).run()


def _parser(pipeline: Pipeline) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=Path(sys.argv[0] or "pipeline").name,
        description=f"{pipeline.name}: {pipeline.description}" if pipeline.description else pipeline.name,
        epilog="Without options: run all jobs, here and now. Exit code 0: all well; 1: a job failed; 2: wrong use.",
        allow_abbrev=False,
    )
    parser.add_argument("-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="give a param")
    parser.add_argument("--job", action="append", default=[], metavar="NAME", help="run this job and what it needs")
    parser.add_argument("--list", action="store_true", help="show the jobs and params")
    parser.add_argument("--describe", action="store_true", help="show what a host is told, as JSON")
    cpus = os.cpu_count() or 1
    parser.add_argument("--parallel", type=_count, default=cpus, metavar="N", help="jobs at a time (default: all CPUs)")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _pairs(given: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParamError(f"-p {text}: write -p NAME=VALUE")
        pairs[name] = value
    return pairs


def _selected(pipeline: Pipeline, names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in pipeline.jobs:
            raise PipelineError(f"there is no job {name!r}; there are: {', '.join(pipeline.jobs) or 'none'}")
    return _graph.closure(pipeline.jobs, names) if names else list(pipeline.jobs)


def _workspace() -> Path:
    """Return the top of the git repository that holds the program, else the current folder."""
    here = Path.cwd()
    program = getattr(sys.modules.get("__main__"), "__file__", None)
    for folder in Path(program).resolve().parents if program else ():
        if (folder / ".git").exists():
            return folder
    return here


def _listing(pipeline: Pipeline) -> str:
    lines = [f"{pipeline.name}: {pipeline.description}" if pipeline.description else pipeline.name, "", "jobs:"]
    width = max((len(name) for name in pipeline.jobs), default=0)
    for job in pipeline.jobs.values():
        needs = ", ".join(name + _SHOWN_ON[on] for name, on in job.needs)
        about = job.title or (job.description.splitlines() or [""])[0]
        told = "  ".join(part for part in (about, f"needs {needs}" if needs else "") if part)
        lines.append(f"  {job.name:<{width}}  {told}".rstrip())
    if pipeline.params:
        lines += ["", "params:"]
    for param in pipeline.params.values():
        facts = [param.type.__name__]
        if param.choices:
            facts.append("one of " + ", ".join(str(choice) for choice in param.choices))
        if param.default is not None and not param.secret:
            facts.append(f"default {param.default!r}")
        elif param.required:
            facts.append("required")
        lines.append(f"  {param.name}  ({'; '.join(facts)})  {param.description}".rstrip())
    return "\n".join(lines)


def _description(pipeline: Pipeline) -> str:
    import json

    from cicd_sdk._describe import as_json, describe

    return json.dumps(as_json(describe(pipeline)), indent=2)
