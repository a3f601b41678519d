"""A folder with a Python pipeline becomes an artifact: its dependencies, the same bytes each time, clear refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from build_support import PIPELINE, write_wheel
from cicd.plugins.artifact import Packed, pack, unpack
from cicd.plugins.build import python_builder
from cicd.plugins.build.python_project import BuildError, PythonProject
from cicd.plugins.platform_tags import abi_tag, minion_tags, platform_tag

PROJECT = """
[project]
name = "web-pipeline"
version = "0"
requires-python = ">=3.11"
dependencies = ["mylib"]

[tool.uv]
find-links = ["wheels"]
"""


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("UV_", "PIP_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def write(tree: Path, **files: str) -> Path:
    folder = tree / ".cicd"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def build(tmp_path: Path, tree: Path) -> tuple[Path, python_builder.Built]:
    work = tmp_path / f"work{len(list(tmp_path.glob('work*')))}"
    work.mkdir()
    built = python_builder.build(tree, tree / ".cicd", work / "artifact", work)
    return work / "artifact", built


def test_an_artifact_holds_the_pipeline_its_dependencies_and_the_sdk(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT)
    write_wheel(folder / "wheels", "mylib", "1.0", {"mylib/__init__.py": "WHO = 'mylib'\n"})
    artifact, built = build(tmp_path, tmp_path / "tree")
    assert built == python_builder.Built(requires_python=">=3.11", tags=())
    assert json.loads((artifact / "plugin.json").read_text()) == {
        "language": "python", "entry": "app/pipeline.py", "path": ["app", "site", "sdk"], "tags": [],
    }  # fmt: skip
    assert (artifact / "app" / "pipeline.py").read_text() == PIPELINE
    seen = "import sys; sys.path[:0] = sys.argv[1:]; import mylib, h2, cicd_sdk, pipeline; print(cicd_sdk.__file__)"
    paths = [str(artifact / name) for name in ("app", "site", "sdk")]
    done = subprocess.run([sys.executable, "-I", "-S", "-c", seen, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(artifact / "sdk"))
    assert (artifact / "site" / "mylib" / "__pycache__").is_dir()
    assert list((artifact / "sdk").glob("h2-*.dist-info/**/LICENSE*"))


def test_the_same_folder_gives_the_same_bytes_wherever_and_whenever_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[Packed] = []
    for place in ("here", "somewhere/else/altogether"):
        base = tmp_path / place
        folder = write(base / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT)
        write_wheel(
            folder / "wheels",
            "mylib",
            "1.0",
            {
                "mylib/__init__.py": "A = {'x', 'y', 'z'}\ndef f(a): return a in {'p', 'q', 'r'}\n",
                "/entry_points.txt": "[console_scripts]\nmytool = mylib:f\n",
            },
        )
        monkeypatch.setenv("UV_CACHE_DIR", str(base / "cache"))
        artifact, _ = build(base, base / "tree")
        packed.append(pack(artifact, base / "plugin.tar"))
        assert str(tmp_path).encode() not in (base / "plugin.tar").read_bytes()
    assert packed[0] == packed[1]


def test_a_program_of_a_dependency_runs_from_wherever_the_artifact_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT)
    files = {
        "mylib/__init__.py": "import sys\ndef main():\n    print('hello from', __file__, sys.argv[1:])\n",
        "/entry_points.txt": "[console_scripts]\nmytool = mylib:main\n",
    }
    write_wheel(folder / "wheels", "mylib", "1.0", files)
    artifact, _ = build(tmp_path, tmp_path / "tree")
    packed = pack(artifact, tmp_path / "plugin.tar")
    elsewhere = tmp_path / "else where"
    unpack(tmp_path / "plugin.tar", packed.digest, elsewhere)
    env = {"PATH": f"{elsewhere}/site/bin:{os.environ['PATH']}", "CICD_PYTHON": sys.executable}
    done = subprocess.run(["mytool", "a b"], env=env, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == f"hello from {elsewhere}/site/mylib/__init__.py ['a b']\n"


def test_a_pipeline_of_one_file_names_its_dependencies_in_itself(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "wheels", "mylib", "1.0", {"mylib.py": ""})
    script = (
        f'# /// script\n# requires-python = ">=3.9"\n# dependencies = [\n#   "mylib @ file://{wheel}",\n# ]\n# ///\n'
    )
    write(tmp_path / "tree", pipeline__py=script + PIPELINE)
    artifact, built = build(tmp_path, tmp_path / "tree")
    assert built.requires_python == ">=3.9"
    assert (artifact / "site" / "mylib.py").exists()
    assert not list(artifact.glob("site/*/direct_url.json"))
    assert not list(artifact.glob("site/*/uv_cache.json"))


def test_a_lock_file_pins_what_is_installed(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT)
    write_wheel(folder / "wheels", "mylib", "1.0", {"mylib.py": ""})
    subprocess.run([uv.find_uv_bin(), "lock", "--quiet", "--python", sys.executable], cwd=folder, check=True)
    write_wheel(folder / "wheels", "mylib", "2.0", {"mylib.py": ""})
    artifact, _ = build(tmp_path, tmp_path / "tree")
    assert [path.name for path in artifact.glob("site/*.dist-info")] == ["mylib-1.0.dist-info"]
    (folder / "uv.lock").unlink()
    artifact, _ = build(tmp_path, tmp_path / "tree")
    assert [path.name for path in artifact.glob("site/*.dist-info")] == ["mylib-2.0.dist-info"]


def test_the_sdk_is_the_system_s_own_whatever_the_author_names(tmp_path: Path) -> None:
    for number, files in enumerate(
        (
            {"pipeline__py": PIPELINE, "pyproject__toml": PROJECT.replace('"mylib"', '"mylib", "cicd-sdk>=99"')},
            {"pipeline__py": '# /// script\n# dependencies = ["cicd_sdk", "cicd-sdk[x]>1"]\n# ///\n' + PIPELINE},
        )
    ):
        tree = tmp_path / f"tree{number}"
        folder = write(tree, **files)
        write_wheel(folder / "wheels", "mylib", "1.0", {"mylib.py": ""})
        write_wheel(folder / "wheels", "cicd_sdk", "99.0", {"cicd_sdk.py": "raise SystemExit"})
        artifact, _ = build(tmp_path, tree)
        assert not list(artifact.glob("site/cicd_sdk*"))
        assert (artifact / "sdk" / "cicd_sdk" / "__init__.py").exists()


def test_an_h2_that_the_pipeline_brings_is_kept_in_the_sdk_s_range(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT.replace("mylib", "h2"))
    write_wheel(folder / "wheels", "h2", "9.0", {"h2/__init__.py": ""})
    with pytest.raises(BuildError, match=r"h2>=4\.1,<5"):
        build(tmp_path, tmp_path / "tree")
    write_wheel(folder / "wheels", "h2", "4.9", {"h2/__init__.py": ""})
    artifact, _ = build(tmp_path, tmp_path / "tree")
    assert sorted(path.name for path in (artifact / "sdk").iterdir()) == ["cicd_sdk"]


@pytest.mark.parametrize(
    ("files", "tag", "tags"),
    [
        ({"mylib.py": ""}, "py3-none-any", ()),
        ({"mylib.py": ""}, "py3-none-linux_x86_64", (platform_tag(),)),
        ({"mylib/fast.so": ""}, "py3-none-any", (abi_tag(),)),
    ],
)
def test_an_artifact_carries_what_its_wheels_need(
    files: dict[str, str], tag: str, tags: tuple[str, ...], tmp_path: Path
) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE, pyproject__toml=PROJECT)
    write_wheel(folder / "wheels", "mylib", "1.0", files, tag)
    _, built = build(tmp_path, tmp_path / "tree")
    assert built.tags == tags
    assert set(tags) <= set(minion_tags())


def test_an_interpreter_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    project = write(tmp_path / "a", pipeline__py=PIPELINE, pyproject__toml='[project]\nrequires-python = ">=4"\n')
    script = write(tmp_path / "b", pipeline__py='# /// script\n# requires-python = "<3"\n# ///\n' + PIPELINE)
    wrong = write(tmp_path / "c", pipeline__py=PIPELINE, pyproject__toml='[project]\nrequires-python = "three"\n')
    for folder, text in ((project, "requires Python >=4"), (script, "requires Python <3"), (wrong, "'three'")):
        with pytest.raises(BuildError, match=text):
            PythonProject.read(folder).check_interpreter()


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"pyproject__toml": PROJECT}, "no pipeline.py"),
        ({"pipeline__py": "", "pyproject__toml": "[project\n"}, "pyproject.toml: "),
        ({"pipeline__py": "", "pyproject__toml": "project = 3"}, "project is no table"),
        ({"pipeline__py": "x = 1\ndef f(:\n"}, "pipeline.py, line 2: SyntaxError: invalid syntax"),
        ({"pipeline__py": "if 1:\nx"}, "pipeline.py, line 2: IndentationError"),
        ({"pipeline__py": "a\0b"}, "pipeline.py"),
        ({"pipeline__py": "# /// script\n# x = \n# ///\n"}, "PEP 723"),
        ({"pipeline__py": '# /// script\n# dependencies = "x"\n# ///\n'}, "dependencies is no list"),
        (
            {"pipeline__py": "# /// script\n# a = 1\n# ///\n\n# /// script\n# a = 1\n# ///\n"},
            "more than one script block",
        ),
        (
            {"pipeline__py": "", "pyproject__toml": PROJECT.replace("mylib", "nowhere-to-be-found")},
            "nowhere-to-be-found",
        ),
    ],
)
def test_what_the_author_has_to_change_is_told_in_a_line(files: dict[str, str], text: str, tmp_path: Path) -> None:
    (write(tmp_path / "tree", **files) / "wheels").mkdir()
    with pytest.raises(BuildError) as caught:
        build(tmp_path, tmp_path / "tree")
    assert text in caught.value.message


def test_symlinks_of_the_folder_lead_where_they_led_or_nowhere(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE)
    (tmp_path / "tree" / "shared.py").write_text("shared")
    (tmp_path / "secret").write_text("of the master")
    (folder / "own").mkdir()
    (folder / "own" / "link.py").symlink_to("../pipeline.py")
    (folder / "shared.py").symlink_to("../shared.py")
    (folder / "outside").symlink_to(tmp_path / "secret")
    artifact, _ = build(tmp_path, tmp_path / "tree")
    assert (artifact / "app" / "own" / "link.py").readlink() == Path("../pipeline.py")
    assert (artifact / "app" / "shared.py").read_text() == "shared"
    assert not (artifact / "app" / "shared.py").is_symlink()
    packed = pack(artifact, tmp_path / "plugin.tar")
    assert packed.size_bytes
    assert b"of the master" not in (tmp_path / "plugin.tar").read_bytes()


def test_a_file_that_is_no_python_of_this_version_does_no_harm(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "tree", pipeline__py=PIPELINE)
    (folder / "template.py").write_text("print 'python 2'\n")
    artifact, _ = build(tmp_path, tmp_path / "tree")
    assert (artifact / "app" / "template.py").exists()
    assert "Error" not in "".join(capfd.readouterr())
