"""What the documents say is so: files exist, code is what it is said to be, generated pages are up to date."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cicd.cli import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def test_the_readme_shows_the_hello_example_as_it_is() -> None:
    [shown, *_] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == (ROOT / "examples/hello/.cicd/pipeline.py").read_text()


def test_the_first_pipeline_has_at_most_15_lines() -> None:
    lines = (ROOT / "examples/hello/.cicd/pipeline.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


def test_the_hello_example_runs_by_hand() -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "examples/hello/.cicd/pipeline.py", "-p", "name=reader"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "hello, reader" in ended.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_in_documents_exist(document: Path) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_documents_exist(document: Path) -> None:
    lines = re.findall(r"^ {4}(?:\w+\$ +)?(cicd .*?)(?: {2,}.*)?$", document.read_text(), re.MULTILINE)
    for line in lines:
        command: click.Command = cli
        context = click.Context(command)
        words = shlex.split(line, comments=False)[1:]
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        known = {option for parameter in command.params for option in parameter.opts}
        if not command.context_settings.get("ignore_unknown_options"):
            assert {word for word in words if word.startswith("-")} <= known, line


@pytest.mark.parametrize("name", ["master", "minion"])
def test_the_units_start_what_exists(name: str) -> None:
    unit = (ROOT / f"config/systemd/cicd-{name}.service").read_text()
    assert f"-m cicd.{name} --config /etc/cicd/{name}.toml" in unit
    assert (ROOT / f"cicd/{name}.py").exists()
    assert (ROOT / f"config/{name}.toml").exists()


def test_the_picture_of_the_states_is_that_of_the_table() -> None:
    ended = subprocess.run([sys.executable, ROOT / "docs/generate_states.py", "--check"], check=False)
    assert ended.returncode == 0, "run: make generate"


def test_every_target_of_the_makefile_that_help_shows_has_a_word() -> None:
    ended = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in ("demo", "dev", "test", "lint", "deps", "bench", "clean"):
        assert re.search(rf"make {name} +\S", ended.stdout)
