"""Becomes another program that does not outlive who started it: `tether.py PARENT_PID PROGRAM [ARGUMENT]...`.

Runs as a file under `python -I -S`, to be quick, so it imports nothing of ours. PR_SET_PDEATHSIG holds across the exec,
and fires when the *thread* that started it ends: start it from one that lives as long as what is started shall.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for the signal, look whether the parent is still there, and become the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the process that started this one is gone")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  that is what it is for


if __name__ == "__main__":
    main()
