"""A backup's file: a tar, written and read as a stream, in bounded memory however large it is.

`dump.rdb`, then `blobs/…` in order, then `SHA256SUMS` (as `sha256sum -c` reads it), then `manifest.json`. A file that
has no manifest at its end was broken off.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from viiwork.errors import UsageError
from viiwork.store.manifest import FORMAT, Manifest, seal_of

DUMP, SUMS, MANIFEST = "dump.rdb", "SHA256SUMS", "manifest.json"
BLOB = re.compile(r"blobs/([0-9a-f]{2})/(\1[0-9a-f]{30})")
CHUNK = 1024 * 1024
MANIFEST_BYTES = 64 * 1024
SUFFIXES = (".tar", ".tar.gz", ".tgz")


class ArchiveWriter:
    """Adds members one at a time and keeps their digests on disk, not in memory."""

    def __init__(self, file: IO[bytes], *, compressed: bool, scratch: Path) -> None:
        self._gzip = gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) if compressed else None
        self._out: IO[bytes] = self._gzip or file  # type: ignore[assignment] # a GzipFile writes like one
        self._sums = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed when the writer is left

    def add(self, name: str, source: IO[bytes], size: int) -> str:
        """Copy `size` bytes of `source` in; answers their digest. Raises OSError when there are fewer."""
        digest = self._member(name, source, size)
        self._sums.write(f"{digest}  {name}\n".encode())
        return digest

    def finish_sums(self) -> str:
        """Write the list of digests; answers its own."""
        size = self._sums.tell()
        self._sums.seek(0)
        return self._member(SUMS, self._sums, size)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest and the end of the archive."""
        body = manifest.to_json()
        with tempfile.SpooledTemporaryFile(max_size=CHUNK) as file:
            file.write(body)
            file.seek(0)
            self._member(MANIFEST, file, len(body))
        self._out.write(bytes(2 * tarfile.BLOCKSIZE))
        if self._gzip:
            self._gzip.close()

    def __enter__(self) -> ArchiveWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sums.close()

    def _member(self, name: str, source: IO[bytes], size: int) -> str:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        self._out.write(info.tobuf(tarfile.GNU_FORMAT))
        digest, left = hashlib.sha256(), size
        while left:
            piece = source.read(min(CHUNK, left))
            if not piece:
                raise OSError(f"{name} is shorter than it was")
            digest.update(piece)
            self._out.write(piece)
            left -= len(piece)
        self._out.write(bytes(-size % tarfile.BLOCKSIZE))
        return digest.hexdigest()


class Member:
    """One file of an archive, to be read once, before the next one is asked for."""

    def __init__(self, archive: Path, name: str, size: int, source: IO[bytes]) -> None:
        self.name, self.size = name, size
        self._archive, self._source, self._digest = archive, source, hashlib.sha256()

    def pieces(self) -> Iterator[bytes]:
        """Its content. Raises UsageError when it breaks off."""
        with _translated(self._archive):
            while piece := self._source.read(CHUNK):
                self._digest.update(piece)
                yield piece

    @property
    def sha256(self) -> str:
        """Of what has been read."""
        return self._digest.hexdigest()


class Archive:
    """`with Archive(path) as archive: manifest = archive.verify(); for member in archive.members(): …`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Archive:
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {(error.strerror or '').lower()}.", param="file") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def file_bytes(self) -> int:
        """How large the file is."""
        return os.fstat(self._file.fileno()).st_size

    def members(self) -> Iterator[Member]:
        """Its members in their order. Raises UsageError for what is no archive of ours."""
        self._file.seek(0)
        with _translated(self.path), tarfile.open(fileobj=self._file, mode="r|*") as tar:
            while (info := tar.next()) is not None:
                source = tar.extractfile(info) if info.isreg() else None
                if source is None or not is_member(info.name):
                    raise self._damaged("it holds what no backup holds")
                yield Member(self.path, info.name, info.size, source)
                tar.members = []  # type: ignore[attr-defined] # it remembers every member otherwise: 1 KiB each

    def verify(self, *, told: Callable[[int], None] = lambda _: None) -> Manifest:
        """Read all of it once. Raises UsageError, with what is damaged, unless every digest is right.

        `told` hears how many bytes of the file have been read.
        """
        running, sums, dump, manifest = hashlib.sha256(), "", "", b""
        with tempfile.SpooledTemporaryFile(max_size=8 * CHUNK) as lines:
            for member in self.members():
                if member.name == SUMS:
                    sums = self._compare(member, lines)
                elif member.name == MANIFEST:
                    manifest = b"".join(member.pieces())[:MANIFEST_BYTES]
                else:
                    for _ in member.pieces():
                        told(self._file.tell())
                    line = f"{member.sha256}  {member.name}\n".encode()
                    dump = dump or member.sha256
                    lines.write(line)
                    running.update(line)
        read = self._manifest(manifest)
        if not sums or (read.sums_sha256, read.dump_sha256) != (sums, dump) or running.hexdigest() != sums:
            raise self._damaged("its list of digests is not the one that its manifest names")
        return read

    def _compare(self, member: Member, lines: IO[bytes]) -> str:
        """Line by line, so that the damaged file can be named."""
        lines.seek(0)
        pending = b""
        for piece in member.pieces():
            *whole, pending = (pending + piece).split(b"\n")
            for expected in whole:
                if lines.readline().rstrip(b"\n") != expected:
                    raise self._damaged(f"{expected[66:].decode('ascii', 'replace')[:80]} is not what it was")
        if lines.readline():
            raise self._damaged("it holds more than its list of digests names")
        return member.sha256

    def _manifest(self, raw: bytes) -> Manifest:
        if not raw:
            raise self._damaged("its end is missing")
        try:
            fields = json.loads(raw)
            seal = fields.pop("seal", "")
            manifest = Manifest.model_validate(fields)
        except (ValueError, AttributeError, RecursionError) as error:
            raise self._damaged("its manifest cannot be understood") from error
        if seal != seal_of(fields):
            raise self._damaged("its manifest is not what it was")
        if manifest.version > FORMAT:
            raise UsageError(f"{self.path} was made by a newer version ({manifest.viiwork}).", hint="Install that one.")
        return manifest

    def _damaged(self, why: str) -> UsageError:
        return _damaged(self.path, why)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, "it is no tar file, or was broken off") from error


def _damaged(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} is not a whole backup: {why}.", hint="Nothing was changed.", param="file")


def is_member(name: str) -> bool:
    """Whether a backup may hold a file of this name; so nothing in it can lead outside."""
    return name in (DUMP, SUMS, MANIFEST) or BLOB.fullmatch(name) is not None


def is_compressed(path: Path) -> bool:
    """By its name. Raises UsageError for a name that says nothing of it."""
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: a backup's name ends in .tar, .tar.gz or .tgz.", param="file")
    return not path.name.endswith(".tar")
