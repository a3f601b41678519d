"""The whole state of a core to bytes and back.

Whatever the core holds, with all its ties: so nothing has to be said twice here when the core learns something. It is
Python's pickle, read by an unpickler that makes nothing but plain containers and the classes of the core and of the
messages, none of which does anything when it is made: a journal that somebody else has written runs no code.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from cicd.core.cluster import Cluster
from cicd.errors import CicdError

_PLAIN = frozenset(
    {
        ("collections", "Counter"),
        ("collections", "deque"),
        ("collections", "OrderedDict"),
        ("msgspec._utils", "rebuild"),
    }
)
_OURS = ("cicd.core.", "cicd.messages.")


class CheckpointError(CicdError):
    """A checkpoint cannot be read: damaged, or of another version."""

    code = "checkpoint"


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.startswith(_OURS) and name.isidentifier():
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise CheckpointError(f"a checkpoint must not hold {module}.{name}")


def freeze(cluster: Cluster) -> bytes:
    """Return a core's state.

    Raises:
        CheckpointError: it holds what cannot be kept: a bug of ours.
    """
    try:
        return pickle.dumps(cluster, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"the core's state cannot be kept: {str(error)[:200]}") from None


def thaw(data: bytes) -> Cluster:
    """Return a core of its own with the state that was kept.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        cluster = _Reader(io.BytesIO(data)).load()
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001  whatever damaged bytes lead to
        raise CheckpointError(f"the checkpoint cannot be read: {type(error).__name__}") from None
    if not isinstance(cluster, Cluster):
        raise CheckpointError("the checkpoint holds no state of a core")
    return cluster
