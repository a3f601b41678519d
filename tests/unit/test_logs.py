"""What a process writes to stderr."""

import json
import subprocess
import sys

PROGRAM = """
import logging
import structlog
from cicd.config import Log
from cicd.logs import set_up_logs
set_up_logs(Log(level={level!r}, format={format!r}), role="master")
log = structlog.get_logger("x")
log.debug("job.assigned", job="j")
log.info("job.started", job="j", attempt=2)
logging.getLogger("library").warning("careful %s", "now")
logging.getLogger("library").info("chatter")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("job.broken")
"""


def lines(level: str = "info", format: str = "auto") -> list[str]:  # noqa: A002  the key's name
    program = PROGRAM.format(level=level, format=format)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert not done.stdout
    return done.stderr.splitlines()


def test_one_json_line_for_each_event_where_nobody_looks():
    started, library, broken = [json.loads(line) for line in lines()]
    assert (started["event"], started["job"], started["attempt"]) == ("job.started", "j", 2)
    assert (started["role"], started["level"]) == ("master", "info")
    assert started["time"].endswith("Z")
    assert (library["event"], library["level"], library["role"]) == ("careful now", "warning", "master")
    assert "ZeroDivisionError" in broken["exception"]


def test_the_level_is_held():
    assert json.loads(lines("debug")[0])["event"] == "job.assigned"
    assert [json.loads(line)["event"] for line in lines("error")] == ["careful now", "job.broken"]


def test_people_get_text():
    assert any("job.started" in line and "attempt=2" in line for line in lines(format="console"))
    assert not any("\x1b" in line for line in lines(format="console"))
