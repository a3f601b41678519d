"""A declared job, and what it says about the jobs before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal

from cicd_sdk._duration import seconds
from cicd_sdk._messages import Checkout, NeedOn
from cicd_sdk.errors import PipelineError

JobFunction = Callable[..., Any]
"""A function that is a job: of a context, or of nothing."""

JobRef = str | JobFunction
"""A job named by its function, or by its name when that is declared later."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
OWN_KINDS = ("user", "timeout", "out_of_memory", "crash")
"""Kinds of failure that are the job's own."""
_KINDS = ("user", "infrastructure", "timeout", "out_of_memory", "crash")
_MAX_BACKOFF_S = 3600.0
_COROUTINE_OR_GENERATOR = 0x20 | 0x80 | 0x200
_CHECKOUTS: dict[Any, Checkout] = {True: Checkout.TREE, "git": Checkout.GIT, False: Checkout.EMPTY}


class Need:
    """A job that another waits for, and how it has to end. Made by `on_failure` and `on_any`."""

    __slots__ = ("job", "on")

    def __init__(self, job: JobRef, on: NeedOn = NeedOn.SUCCESS) -> None:
        self.job = job
        self.on = on


def on_failure(job: JobRef) -> Need:
    """Run after `job`, only when that failed (or timed out)."""
    return Need(job, NeedOn.FAILURE)


def on_any(job: JobRef) -> Need:
    """Run after `job`, however that ended; also when it was skipped."""
    return Need(job, NeedOn.ANY)


class Retry:
    """How often a failed job is tried again.

    Args:
        attempts: tries after the first.
        backoff: the wait before the first of them, as seconds or a text like "30s"; it doubles with each, up to an
            hour, and a cluster adds up to a quarter, so that what failed together does not come back together.
        on: the kinds of failure: "user", "timeout", "out_of_memory", "crash". Empty: all of these. What the
            infrastructure fails ("infrastructure") a cluster tries again in any case, and does not count.
    """

    __slots__ = ("attempts", "backoff_s", "on")

    def __init__(self, attempts: int, *, backoff: str | float = 0, on: Sequence[str] = ()) -> None:
        if not isinstance(attempts, int) or isinstance(attempts, bool) or not 0 <= attempts <= 100:  # noqa: PLR2004 - more is a loop
            raise PipelineError(f"retry: a number of tries from 0 to 100, not {attempts!r}")
        for kind in on:
            if kind not in _KINDS:
                raise PipelineError(f"retry: there is no failure kind {kind!r}; there are: {', '.join(_KINDS)}")
        self.attempts = attempts
        self.backoff_s = seconds(backoff, "retry") if backoff else 0.0
        self.on = tuple(on)

    def wait_s(self, before: int) -> float:
        """Return the seconds of the wait after the attempt number `before`, from 1."""
        return float(min(self.backoff_s * 2.0 ** min(before - 1, 64), max(self.backoff_s, _MAX_BACKOFF_S)))


class Job:
    """A job as declared; the arguments are those of `Pipeline.job`."""

    __slots__ = (
        "allow_failure", "approval", "cache_key", "checkout", "description", "function", "group", "idempotent",
        "labels", "name", "needs", "resources", "retry", "secrets", "takes_context", "timeout_s", "title",
    )  # fmt: skip

    def __init__(
        self,
        function: JobFunction,
        *,
        name: str | None = None,
        title: str = "",
        needs: Sequence[tuple[str, NeedOn]] = (),
        timeout: str | float | None = None,
        retry: int | Retry = 0,
        idempotent: bool = True,
        labels: Sequence[str] = (),
        secrets: Sequence[str] = (),
        resources: Mapping[str, str] | None = None,
        group: str = "",
        allow_failure: bool = False,
        approval: str = "",
        cache_key: str = "",
        checkout: bool | Literal["git"] = True,
    ) -> None:
        self.name = _checked_name(getattr(function, "__name__", "") if name is None else name)
        where = f"job {self.name!r}"
        self.function = function
        self.takes_context = _takes_context(function, where)
        self.description = (getattr(function, "__doc__", None) or "").strip()
        self.title = title
        self.needs = tuple(needs)
        self.timeout_s = 0.0 if timeout is None else seconds(timeout, f"{where}, timeout")
        self.retry = retry if isinstance(retry, Retry) else Retry(retry)
        self.idempotent = idempotent
        if self.retry.attempts and not idempotent:
            raise PipelineError(f"{where}: retry and idempotent=False contradict each other")
        self.labels = _texts(labels, f"{where}, labels")
        self.secrets = _texts(secrets, f"{where}, secrets")
        self.resources = {key: str(value) for key, value in (resources or {}).items()}
        self.group = group
        self.allow_failure = allow_failure
        self.approval = approval
        self.cache_key = cache_key
        if checkout not in _CHECKOUTS:
            raise PipelineError(f'{where}: checkout has to be True, False or "git", not {checkout!r}')
        self.checkout = _CHECKOUTS[checkout]


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PipelineError(
            f"{name!r} cannot be a job's name: letters, digits, and inside . _ -, at most 100; name=... sets another"
        )
    return name


def _texts(values: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(values, str):  # a text is a sequence of texts, and never what was meant
        raise PipelineError(f"{where}: a list of texts, not the text {values!r}")
    for value in values:
        if not isinstance(value, str) or not value:
            raise PipelineError(f"{where}: {value!r} is no text")
    return tuple(values)


def _takes_context(function: JobFunction, where: str) -> bool:
    code = getattr(function, "__code__", None)
    if code is not None and code.co_flags & _COROUTINE_OR_GENERATOR:
        raise PipelineError(
            f"{where}: a job is a plain function, no async one and no generator (call asyncio.run inside it)"
        )
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        # Most jobs: `inspect` is slow to import, and this runs at every start of a job's process.
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        needed = len(names) - len(function.__defaults__ or ())
        keywords = function.__code__.co_kwonlyargcount - len(function.__kwdefaults__ or {})
    else:
        names, needed, keywords = _inspected(function, where)
    if needed > 1 or keywords:
        raise PipelineError(f"{where}: a job takes a context or nothing, not {needed + keywords} arguments")
    return needed == 1 or names[:1] in (("ctx",), ("context",))


def _inspected(function: JobFunction, where: str) -> tuple[tuple[str, ...], int, int]:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise PipelineError(f"{where}: {function!r} is no function") from error
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    needed = sum(p.default is p.empty for p in positional)
    return tuple(p.name for p in positional), needed, len(keywords)
