"""What `FakeAgent` has started as an agent: hands the jobhost's socket to the test. Standard library only."""

from __future__ import annotations

import contextlib
import os
import socket
import sys


def main() -> None:
    """Hand over the descriptor, then live until the test says with which code to exit, or is gone."""
    control = socket.socket(socket.AF_UNIX)
    control.connect(sys.argv[1])
    descriptor = int(sys.argv[sys.argv.index("--fd") + 1])
    socket.send_fds(control, [b"\0"], [descriptor])
    control.sendall(b"%d" % os.getpid())
    os.close(descriptor)
    code = b""
    with contextlib.suppress(OSError):
        code = control.recv(1)
    sys.exit(code[0] if code else 1)


if __name__ == "__main__":
    main()
