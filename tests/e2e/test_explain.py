"""A run is explained: why it waited, why that minion, what was tried. The journal says the same again, or where not."""

from __future__ import annotations

import json

import pytest

from cicd.replay import segments
from cicd.testing.local_cluster import LocalCluster
from cicd.testing.waiting import wait_until
from e2e import QUICK_LEASES, Repository, cli, cluster_of, create, finish, show, start, until_running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

GATED = """
import pathlib, time
import cicd_sdk as ci

pipeline = ci.Pipeline("gated")
pipeline.param("gate", required=True)

@pipeline.job
def work(ctx: ci.Context) -> None:
    while not pathlib.Path(ctx.params["gate"]).exists():
        time.sleep(0.05)

@pipeline.job(needs=[work])
def after(ctx: ci.Context) -> None:
    pass

if __name__ == "__main__":
    pipeline.main()
"""


def test_a_run_tells_what_happened_to_it_and_its_decisions_can_be_checked(tmp_path):
    """A job waits for a busy slot; another is lost with its minion and tried again on the one that is left."""
    repository = Repository(tmp_path / "repo")
    repository.commit(GATED)
    gate = tmp_path / "gate"
    with cluster_of(minions=2, slots=1, master_overrides=QUICK_LEASES) as cluster, cluster.client() as client:
        create(client, "gated", repository)
        first = start(client, "gated", gate=str(gate))
        second = start(client, "gated", gate=str(gate))
        lost = until_running(client, first, "work").job.minion_name
        left = until_running(client, second, "work").job.minion_name
        third = start(client, "gated", gate=str(gate))

        waiting = cli(cluster, "runs", "explain", third, check=True).stdout
        busy = [line for line in waiting.splitlines() if "work   now: " in line]
        assert len(busy) == 1
        assert f"{lost}: 1 of 1 slots busy" in busy[0]
        assert "after  now: needs work (queued)" in waiting

        cluster.kill_minion(lost)
        wait_until(lambda: show(client, first).jobs[0].job.lost == 1, timeout_s=60)
        assert "queued again" in cli(cluster, "runs", "explain", first, check=True).stdout
        cluster.kill_master()
        cluster.start_master()
        gate.touch()
        for run in (second, first, third):
            finish(client, run)

        check_story(cluster, first, str(gate), lost, left)
        replayed = cli(cluster, "replay", "--data-dir", str(cluster.state_dir / "master"), check=True).stdout
        assert replayed.rstrip().endswith("decisions: all the same")
        check_altered(cluster, first)
        cluster.start_minion(lost)  # it clears up what it left behind
        cluster.wait_ready(2)


def check_story(cluster: LocalCluster, run: str, gate: str, lost: str, left: str) -> None:
    told = json.loads(cli(cluster, "runs", "explain", run, "work", "--output", "json", check=True).stdout)
    story = [(line["kind"], line["attempt"], line["text"]) for line in told["lines"]]
    texts = [text for _, _, text in story]
    assert texts[0].startswith("created by ")
    assert gate in texts[0]
    assert index(texts, f"given to {lost}: ") < index(texts, f"attempt 1 on {lost} runs (pid ")
    ended = index(texts, f"attempt 1 on {lost} was lost")
    assert index(texts, f"{lost} is suspect, not heard of for ") < ended
    assert f"{lost} was lost: not heard of for " in texts[ended]
    assert index(texts, "queued again") >= ended
    waits = index(texts, "waits: ")
    assert set(texts[waits].removeprefix("waits: ").split(", ")) == {f"{lost}: lost", f"{left}: 1 of 1 slots busy"}
    again = index(texts, f"given to {left}: ")
    assert f"passed over: {lost}: lost" in texts[again]
    assert story[again][:2] == ("chosen", 2)
    assert ended < waits < index(texts, "the master was started") < again
    assert index(texts, f"attempt 2 on {left} has succeeded") > again
    assert texts[-1] == "the run has ended: succeeded"


def index(texts: list[str], beginning: str) -> int:
    found = [index for index, text in enumerate(texts) if text.startswith(beginning)]
    assert found, f"{beginning!r} is not in {texts}"
    return found[0]


def check_altered(cluster: LocalCluster, run: str) -> None:
    """Another id in one event: the replay says where that leads elsewhere."""
    journal = cluster.state_dir / "master" / "journal"
    file = segments.path_of(journal, segments.numbers(journal)[0])
    frames = [data.replace(run.encode(), b"x" * len(run), 1) for data in segments.frames(file)]
    file.write_bytes(b"".join(map(segments.frame, frames)))
    altered = cli(cluster, "replay", "--data-dir", str(cluster.state_dir / "master"))
    assert altered.returncode == 1
    assert altered.stdout.startswith(f"the first difference: {file.name}, batch ")
    assert f"run {run} " in altered.stdout
    assert f"run {'x' * len(run)} " in altered.stdout
