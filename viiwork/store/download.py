"""A blob on its way to this host's disk, compared by hash with what its host says of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import IO

from viiwork.errors import StoreUnavailable


class Download:
    """A blob as it comes in, over as many connections as it takes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    async def write(self, piece: bytes) -> None:
        """Append a piece. Raises StoreUnavailable when the disk refuses."""
        try:
            await asyncio.to_thread(self._write, piece)
        except OSError as error:
            raise disk_error(error) from error

    def restart(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.bytes = hashlib.sha256(), 0

    def is_whole(self, sha256: str) -> bool:
        """Whether it is the blob that has this hash; then all of it is in the file."""
        self._file.flush()
        return self._digest.hexdigest() == sha256

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._digest.update(piece)
        self.bytes += len(piece)


def create(path: Path) -> IO[bytes]:
    """A file that is new, for its owner alone. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def disk_error(error: OSError) -> StoreUnavailable:
    """What the system said of the disk, in our words."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StoreUnavailable(f"The copies of blobs on this host cannot be written: {reason}.", hint="Free some space.")
