"""One pull or removal of a model at a time; the operating system lets go when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from viiwork.errors import Busy
from viiwork.models.names import ModelName

LOCKS = ".locks"


@contextmanager
def locked(root: Path, name: ModelName) -> Iterator[None]:
    """Raises Busy when somebody else has it. The lock's file stays: removing it would let two in at once."""
    (root / LOCKS).mkdir(parents=True, exist_ok=True)
    handle = os.open(root / LOCKS / name.folder, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Busy(
                f"{name.repo} is being pulled or removed already (pid {holder}).", hint="Try again when that is done."
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
