"""What `cicd dev` makes of a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cicd.cli.dev_session import _remove, _Work, pipeline_path
from cicd.cli.snapshots import BRANCH, Snapshots
from cicd.errors import UserError


def files(repository: Path) -> list[str]:
    command = ["git", "--git-dir", str(repository), "ls-tree", "-r", "--name-only", BRANCH]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / ".cicd").mkdir(parents=True)
    (folder / ".cicd" / "pipeline.py").write_text("x = 1\n")
    return folder


def test_a_snapshot_holds_what_is_there_committed_or_not(folder, tmp_path):
    (folder / ".gitignore").write_text("secret\nbuild/\n")
    for name in ("secret", "build/x", "__pycache__/m.pyc", "kept.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    snapshots = Snapshots(folder, tmp_path / "s.git")
    assert len(snapshots.take()) == 40
    assert files(tmp_path / "s.git") == [".cicd/pipeline.py", ".gitignore", "kept.txt"]


def test_the_folders_own_repository_is_not_touched(folder, tmp_path):
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in (folder / ".git").rglob("*"))
    Snapshots(folder, tmp_path / "s.git").take()
    assert sorted((str(path), path.stat().st_mtime_ns) for path in (folder / ".git").rglob("*")) == before
    assert files(tmp_path / "s.git") == [".cicd/pipeline.py"]


def test_only_a_change_makes_a_new_commit(folder, tmp_path):
    snapshots = Snapshots(folder, tmp_path / "s.git")
    first = snapshots.take()
    assert snapshots.take() == ""
    (folder / "new").write_text("")
    second = snapshots.take()
    assert second not in {"", first}
    (folder / "new").unlink()
    assert snapshots.take() not in {"", first, second}
    assert snapshots.take() == ""


def test_what_the_session_keeps_inside_the_folder_is_none_of_it(folder):
    state = folder / "state"
    state.mkdir()
    (state / "token").write_text("secret")
    snapshots = Snapshots(folder, state / "s.git", ignore=(state,))
    snapshots.take()
    (state / "log").write_text("grows")
    assert snapshots.take() == ""
    assert files(state / "s.git") == [".cicd/pipeline.py"]


def test_the_environment_and_configuration_of_git_change_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/absent")
    monkeypatch.setenv("GIT_INDEX_FILE", "/absent/index")
    monkeypatch.setenv("HOME", "/absent")
    assert Snapshots(folder, tmp_path / "s.git").take()


def test_git_that_is_not_there_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        Snapshots(folder, tmp_path / "s.git")


def test_where_the_pipeline_of_a_folder_is(folder, tmp_path):
    assert pipeline_path(folder) == ".cicd"
    assert pipeline_path(folder / ".cicd") == "."
    assert pipeline_path(tmp_path) == ""


@pytest.mark.parametrize(
    ("path", "name"), [("/x/web", "web"), ("/x/my app", "my-app"), ("/x/web/.cicd", "web"), ("/", "pipeline")]
)
def test_a_folder_names_its_pipeline(path, name):
    assert _Work(Path(path), ".", {}).name == name


def test_a_state_folder_goes_though_parts_of_it_are_read_only(tmp_path):
    state = tmp_path / "state"
    locked = state / "a" / "b"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    (state / "link").symlink_to("/absent")
    locked.chmod(0o500)
    (state / "a").chmod(0o500)
    _remove(state)
    assert not state.exists()
    assert not list(tmp_path.iterdir())
