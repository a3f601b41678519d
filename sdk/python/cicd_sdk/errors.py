"""What the SDK raises. Each class says whose fault it is."""

from __future__ import annotations


class PipelineError(Exception):
    """A pipeline is declared wrongly: the text names what, and where."""


class ParamError(PipelineError):
    """The params given to a run do not fit those declared. Tells all that is wrong, not only the first."""


class FeatureUnavailableError(Exception):
    """A job asked for something that the host which runs it does not offer.

    Args:
        feature: its name, as in `RunJobRequest.features`.
    """

    def __init__(self, feature: str) -> None:
        super().__init__(f"the host that runs this job does not offer {feature!r}")
        self.feature = feature


class CommandError(Exception):
    """A command of `Context.run` failed.

    Args:
        argv: the command.
        returncode: as `subprocess` tells it: negative when a signal ended the command.
        stdout: its output, when that was captured.
        reason: what happened, when it is not told by `returncode`.
    """

    def __init__(self, argv: tuple[str, ...], returncode: int, stdout: str = "", reason: str = "") -> None:
        super().__init__(f"{_shown(argv)} {reason or _reason(returncode)}")
        self.argv = argv
        self.returncode = returncode
        self.stdout = stdout

    @property
    def exit_code(self) -> int:
        """The code as a shell tells it: 128 + the signal's number when a signal ended the command."""
        return self.returncode if self.returncode >= 0 else 128 - self.returncode


class CommandTimeoutError(CommandError):
    """A command of `Context.run` did not end within its timeout, and was killed."""


class Cancelled(BaseException):
    """The job is asked to stop: by a person, by the host, or because nobody waits for it any more.

    Raised once, in the main thread, wherever the job happens to be. It is no `Exception`, so that a job's own error
    handling does not swallow it. What the job does in `finally` blocks afterwards runs undisturbed until the grace
    period ends.
    """


def _reason(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with code {returncode}"
    import signal

    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    return f"was killed by {name}"


def _shown(argv: tuple[str, ...]) -> str:
    import shlex

    text = shlex.join(argv)
    return text if len(text) <= 200 else f"{text[:197]}..."  # noqa: PLR2004 - one line of a log
