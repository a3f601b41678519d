"""Lint, tests and wheel side by side; then a release note made from what they found."""

import hashlib
import re
import xml.etree.ElementTree as ET

import cicd_sdk as ci

pipeline = ci.Pipeline("shortlinks", description="Lints, tests and builds the link shortener")
pipeline.param(
    "channel",
    default="dev",
    choices=["dev", "stable"],
    description="stable: the plain version; dev: with the run's number",
)


@pipeline.job(timeout="2m")
def lint(ctx: ci.Context) -> None:
    ctx.run("ruff", "check", ".")
    ctx.run("ruff", "format", "--check", ".")


@pipeline.job(title="unit tests", timeout="5m")
def unit(ctx: ci.Context) -> dict[str, int]:
    return run_tests(ctx, "tests/unit")


@pipeline.job(title="API tests", timeout="5m")
def api(ctx: ci.Context) -> dict[str, int]:
    return run_tests(ctx, "tests/api")


@pipeline.job(timeout="5m")
def wheel(ctx: ci.Context) -> dict[str, str]:
    source = ctx.workspace / "src/shortlinks/__init__.py"
    version = re.search(r'__version__ = "(.*)"', source.read_text())[1]
    if ctx.params["channel"] == "dev":
        version += f".dev{ctx.run_number}"
    source.write_text(f'"""Makes long links short."""\n\n__version__ = "{version}"\n')
    ctx.run("hatchling", "build", "-t", "wheel")
    [built] = (ctx.workspace / "dist").glob("*.whl")
    sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
    return {"version": version, "file": built.name, "sha256": sha256}


@pipeline.job(title="release note", needs=[lint, unit, api, wheel], checkout=False)
def note(ctx: ci.Context) -> dict[str, str]:
    wheel = ctx.needs["wheel"]
    tests = int(ctx.needs["unit"]["tests"]) + int(ctx.needs["api"]["tests"])
    print(f"shortlinks {wheel['version']} for channel {ctx.params['channel']}")
    print(f"  made from commit {ctx.git.commit[:12]}")
    print(f"  {wheel['file']}")
    print(f"  sha256 {wheel['sha256']}")
    print(f"  {tests} tests passed")
    return {"released": wheel["version"]}


def run_tests(ctx: ci.Context, folder: str) -> dict[str, int]:
    report = ctx.temp_dir / "report.xml"
    ctx.run("pytest", folder, "-p", "no:cacheprovider", f"--junitxml={report}")
    suite = ET.parse(report).getroot()[0]  # noqa: S314 - pytest wrote it just now
    return {"tests": int(suite.attrib["tests"])}


if __name__ == "__main__":
    pipeline.main()
