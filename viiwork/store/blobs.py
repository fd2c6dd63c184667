"""Inputs and large outputs as files: written, synced and renamed before any record names them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from viiwork.errors import NotFound, StoreUnavailable

BLOB_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class BlobRef:
    """A blob that is safely on disk."""

    id: str
    bytes: int
    sha256: str


class Blobs(Protocol):
    """Where blobs are kept: a directory, or the API of the host that has it."""

    async def put(self, content: bytes) -> BlobRef:
        """Keep `content` as one blob; it is on disk when this returns. Raises StoreUnavailable."""

    async def read(self, blob_id: str) -> bytes:
        """The whole of a blob. Raises NotFound when there is none of that id, StoreUnavailable when nobody can tell."""

    def at_hand(self, blob_id: str) -> AbstractAsyncContextManager[Path]:
        """A blob as a file of this computer, for as long as the context lasts. Raises as `read` does."""

    async def delete(self, blob_id: str) -> None:
        """Remove a blob, where this computer may: what stays behind the sweeper finds."""

    async def close(self) -> None:
        """Let go of connections."""


class BlobStore:
    """A directory of immutable files, two levels deep; unfinished ones lie under `incoming/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, blob_id: str) -> Path:
        """Where a blob lies. Raises NotFound for what cannot be a blob's id."""
        if not BLOB_ID.fullmatch(blob_id):
            raise NotFound("This is not a blob's id.")
        return self.root / blob_id[:2] / blob_id

    def writer(self, blob_id: str | None = None) -> BlobWriter:
        """A new blob to be streamed in, under an id of its own or this one; unless it is committed nothing stays."""
        return BlobWriter(self, blob_id or secrets.token_hex(16))

    async def put(self, content: bytes) -> BlobRef:
        """Keep `content` as one blob."""
        async with self.writer() as writer:
            await writer.write(content)
            return await writer.commit()

    async def double(self, blob_id: str) -> str:
        """A second blob with the same content, which lives as long as its own record: a hard link where that can be.

        Raises NotFound, StoreUnavailable.
        """
        twin = secrets.token_hex(16)
        try:
            await asyncio.to_thread(_double, self.path(blob_id), self.path(twin))
        except FileNotFoundError as error:
            raise NotFound("A stored input or output is missing from the blob directory.") from error
        except OSError as error:
            raise _disk_error(error) from error
        return twin

    async def read(self, blob_id: str) -> bytes:
        """The whole of a blob. Raises NotFound, or StoreUnavailable when it is there and cannot be read."""
        path = self.path(blob_id)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise NotFound("A stored input or output is missing from the blob directory.") from error
        except OSError as error:
            raise _disk_error(error, "read", hint="Check the disk and the directory's owner.") from error

    @asynccontextmanager
    async def at_hand(self, blob_id: str) -> AsyncIterator[Path]:
        """The blob's own file; whether it is there shows when it is opened."""
        yield self.path(blob_id)

    async def delete(self, blob_id: str) -> None:
        """Remove a blob; one that is gone already is no error."""
        await asyncio.to_thread(self.path(blob_id).unlink, missing_ok=True)

    async def close(self) -> None:
        """Nothing is open."""


class BlobWriter:
    """Streams one blob in: `async with store.writer() as w: await w.write(…); ref = await w.commit()`."""

    def __init__(self, store: BlobStore, blob_id: str) -> None:
        self._store = store
        self._digest = hashlib.sha256()
        self._id = blob_id
        self._incoming = store.root / "incoming" / secrets.token_hex(16)  # one that is sent again meets no other
        self._file: IO[bytes] | None = None
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._digest.hexdigest()

    async def __aenter__(self) -> BlobWriter:
        try:
            self._file = await asyncio.to_thread(_create, self._incoming)
        except OSError as error:
            raise _disk_error(error) from error
        return self

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises StoreUnavailable when the disk refuses."""
        if self._file is None:
            raise StoreUnavailable("This blob is already closed.")
        self._digest.update(chunk)
        self.bytes += len(chunk)
        try:
            await asyncio.to_thread(self._file.write, chunk)
        except OSError as error:
            raise _disk_error(error) from error

    async def commit(self) -> BlobRef:
        """Sync file and directory, then give the blob its name."""
        try:
            await asyncio.to_thread(self._finish)
        except OSError as error:
            raise _disk_error(error) from error
        return BlobRef(id=self._id, bytes=self.bytes, sha256=self._digest.hexdigest())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # a full disk refuses what the buffer still holds; that is known by now
                self._file.close()
            self._file = None
        self._incoming.unlink(missing_ok=True)  # renamed by now, unless something failed

    def _finish(self) -> None:
        if self._file is None:
            raise OSError("already closed")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        final = self._store.path(self._id)
        final.parent.mkdir(mode=0o700, exist_ok=True)
        self._incoming.rename(final)
        _sync_directory(final.parent)
        _sync_directory(self._store.root)


def _create(path: Path) -> IO[bytes]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _double(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links, or as many as there may be
        fresh = target.with_name(f".{target.name}")
        shutil.copyfile(source, fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.rename(target)
    _sync_directory(target.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems cannot sync a directory
            os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(error: OSError, what: str = "written", *, hint: str = "Free some disk space.") -> StoreUnavailable:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return StoreUnavailable(f"The blob directory cannot be {what}: {reason}.", hint=hint)
