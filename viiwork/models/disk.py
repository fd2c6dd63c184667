"""What a disk may answer, in our words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from viiwork.errors import Full, ModelError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turns what goes wrong with files below `root` into Full or ModelError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Full(f"the disk that holds {root} is full.", hint="Make room and try again.") from error
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ModelError(f"{error.filename or root}: {reason}.", hint="See models.dir in docs/settings.md.") from error
