"""Every key of the store: a section, then its parts, joined by `/`; numbers are zero-padded, so that they sort.

    section  key                                  value
    meta/    meta/schema                          version of the records, in digits
    p/       p/<pipeline id>                      PipelineRecord
    pn/      pn/<pipeline name>                   pipeline id: names are unique, and listed in their order
    pb/      pb/<pipeline id>                     pipeline id; there while its newest build is being built
    pl/      pl/<pipeline id>                     LastRun
    d/       d/<plugin digest>                    PluginRecord
    r/       r/<run id>                           RunRecord; ids sort by time: the newest are at the end
    ra/      ra/<run id>                          run id; there while the run has not ended
    rp/      rp/<pipeline id>/<number: 10>        run id: the runs of one pipeline by number
    q/       q/<request id>                       run id: a StartRun that is repeated gives the same run
    j/       j/<run id>/<index: 6>                JobRecord
    jq/      jq/<run id>/<index: 6>               job id; there while the job is QUEUED
    a/       a/<run id>/<index: 6>/<attempt: 6>   AttemptRecord
    l/       l/<run id>/<index: 6>/<attempt: 6>   LogRecord
    m/       m/<minion id>                        MinionRecord
    mn/      mn/<minion name>                     minion id: names are unique
    t/       t/<token id>                         TokenRecord
    kr/      kr/<public key>                      RemovedKey
    x/       x/<time: 16>/<kind>/<name>           Deletion, by time in microseconds: what was deleted by rule
    xc/      xc/<what>                            how far a walk of retention has come: run id
    xd/      xd/<run id>                          Deletion; there while a run is being deleted piece by piece
    xl/      xl/<run id>                          Deletion; there when a run's logs were deleted
    xs/      xs/<run id>                          run id; its logs could not go yet when the walk came by

Ids and names come from people and peers, so any text makes a key: unambiguous, and never too long. A name stands
last in its key and is taken as it is, in UTF-8; a part before another has its `/` and `%` escaped. Text of more than
400 bytes, which nothing valid has (names end at 100 characters), is cut and carries its hash: such a key is good for
finding nothing.
"""

from __future__ import annotations

from hashlib import sha256

from cicd.messages.base import Digest, JobId, MinionId, PipelineId, RunId, split_job_id

SCHEMA = b"meta/schema"

PIPELINES = b"p/"
PIPELINE_NAMES = b"pn/"
BUILDING = b"pb/"
LAST_RUNS = b"pl/"
PLUGINS = b"d/"
RUNS = b"r/"
ACTIVE_RUNS = b"ra/"
PIPELINE_RUNS = b"rp/"
REQUESTS = b"q/"
JOBS = b"j/"
QUEUED_JOBS = b"jq/"
ATTEMPTS = b"a/"
LOGS = b"l/"
MINIONS = b"m/"
MINION_NAMES = b"mn/"
TOKENS = b"t/"
REMOVED_KEYS = b"kr/"

DELETIONS = b"x/"
WALKS = b"xc/"
DYING_RUNS = b"xd/"
REMOVED_LOGS = b"xl/"
PASSED_RUNS = b"xs/"

_TEXT_BYTES = 400
_TIME_DIGITS = 16
_INDEX_DIGITS = 6
_ATTEMPT_DIGITS = 6
_NUMBER_DIGITS = 10


class OutOfRangeError(ValueError):
    """A number that no record has: below 0, or too long for its place in the key."""


def _bounded(text: bytes) -> bytes:
    if len(text) <= _TEXT_BYTES:
        return text
    return text[: _TEXT_BYTES - 64] + b"\0" + sha256(text).hexdigest().encode()


def _last(text: str) -> bytes:
    return _bounded(text.encode("utf-8", "surrogatepass"))


def _part(text: str) -> bytes:
    plain = text.encode("utf-8", "surrogatepass")
    return _bounded(plain.replace(b"%", b"%25").replace(b"/", b"%2F"))


def _number(value: int, digits: int) -> bytes:
    if not 0 <= value < 10**digits:
        raise OutOfRangeError(f"not a number of {digits} digits: {value!r:.40}")
    return b"%0*d" % (digits, value)


def pipeline(id_: PipelineId) -> bytes:
    """Return the key of a PipelineRecord."""
    return PIPELINES + _last(id_)


def pipeline_name(name: str) -> bytes:
    """Return the key of a pipeline's id."""
    return PIPELINE_NAMES + _last(name)


def building(id_: PipelineId) -> bytes:
    """Return the key that is there while a pipeline is being built."""
    return BUILDING + _last(id_)


def last_run(id_: PipelineId) -> bytes:
    """Return the key of a pipeline's LastRun."""
    return LAST_RUNS + _last(id_)


def plugin(digest: Digest) -> bytes:
    """Return the key of a PluginRecord."""
    return PLUGINS + _last(digest)


def run(id_: RunId) -> bytes:
    """Return the key of a RunRecord."""
    return RUNS + _last(id_)


def active_run(id_: RunId) -> bytes:
    """Return the key that is there while a run has not ended."""
    return ACTIVE_RUNS + _last(id_)


def pipeline_runs(id_: PipelineId) -> bytes:
    """Return what the keys of a pipeline's runs by number begin with."""
    return PIPELINE_RUNS + _part(id_) + b"/"


def pipeline_run(id_: PipelineId, number: int) -> bytes:
    """Return the key of the id of a pipeline's run.

    Raises:
        OutOfRangeError: there is no such number.
    """
    return pipeline_runs(id_) + _number(number, _NUMBER_DIGITS)


def request(id_: str) -> bytes:
    """Return the key of the run that a request began."""
    return REQUESTS + _last(id_)


def jobs(id_: RunId) -> bytes:
    """Return what the keys of a run's jobs begin with."""
    return JOBS + _part(id_) + b"/"


def job(id_: RunId, index: int) -> bytes:
    """Return the key of a JobRecord.

    Raises:
        OutOfRangeError: there is no such index.
    """
    return jobs(id_) + _number(index, _INDEX_DIGITS)


def queued_job(id_: RunId, index: int) -> bytes:
    """Return the key that is there while a job is QUEUED.

    Raises:
        OutOfRangeError: there is no such index.
    """
    return QUEUED_JOBS + _part(id_) + b"/" + _number(index, _INDEX_DIGITS)


def attempts(id_: JobId) -> bytes:
    """Return what the keys of a job's attempts begin with.

    Raises:
        ValueError: this is no job id.
    """
    return ATTEMPTS + _of_job(id_)


def attempt(id_: JobId, number: int) -> bytes:
    """Return the key of an AttemptRecord.

    Raises:
        ValueError: this is no job id, or there is no such number.
    """
    return attempts(id_) + _number(number, _ATTEMPT_DIGITS)


def log(id_: JobId, number: int) -> bytes:
    """Return the key of an attempt's LogRecord.

    Raises:
        ValueError: this is no job id, or there is no such number.
    """
    return LOGS + _of_job(id_) + _number(number, _ATTEMPT_DIGITS)


def _of_job(id_: JobId) -> bytes:
    run_id, index = split_job_id(id_)
    return _part(run_id) + b"/" + _number(index, _INDEX_DIGITS) + b"/"


def minion(id_: MinionId) -> bytes:
    """Return the key of a MinionRecord."""
    return MINIONS + _last(id_)


def minion_name(name: str) -> bytes:
    """Return the key of a minion's id."""
    return MINION_NAMES + _last(name)


def token(id_: str) -> bytes:
    """Return the key of a TokenRecord."""
    return TOKENS + _last(id_)


def removed_key(key: str) -> bytes:
    """Return the key of a RemovedKey."""
    return REMOVED_KEYS + _last(key)


def run_attempts(id_: RunId) -> bytes:
    """Return what the keys of all attempts of a run begin with."""
    return ATTEMPTS + _part(id_) + b"/"


def run_logs(id_: RunId) -> bytes:
    """Return what the keys of all LogRecords of a run begin with."""
    return LOGS + _part(id_) + b"/"


def run_queue(id_: RunId) -> bytes:
    """Return what the keys of the queued jobs of a run begin with."""
    return QUEUED_JOBS + _part(id_) + b"/"


def deletion(at_us: int, kind: str, name: str) -> bytes:
    """Return the key of a Deletion.

    Raises:
        OutOfRangeError: there is no such time.
    """
    return DELETIONS + _number(at_us, _TIME_DIGITS) + b"/" + _part(kind) + b"/" + _last(name)


def walk(what: str) -> bytes:
    """Return the key of how far a walk has come."""
    return WALKS + _last(what)


def dying_run(id_: RunId) -> bytes:
    """Return the key that is there while a run is being deleted."""
    return DYING_RUNS + _last(id_)


def removed_logs(id_: RunId) -> bytes:
    """Return the key that is there when a run's logs were deleted."""
    return REMOVED_LOGS + _last(id_)


def passed_run(id_: RunId) -> bytes:
    """Return the key of a run whose logs have to be looked at again."""
    return PASSED_RUNS + _last(id_)
