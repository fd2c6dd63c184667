"""A backup's members to where they belong: the dump to a scratch server's directory, blobs to the blob directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from viiwork.errors import UsageError
from viiwork.store.archive import BLOB, DUMP, Archive, Member
from viiwork.store.backup import Step, Told
from viiwork.store.blobdir import INCOMING
from viiwork.store.blobs import BlobStore
from viiwork.store.manifest import Manifest

DUMP_COPIES = 3
"""The dump itself, and the append-only file that the target writes: first as it comes, then rewritten."""


def unpack(archive: Archive, manifest: Manifest, *, dump: Path, blobs: BlobStore, told: Told) -> int:
    """Write everything out and to the disk; answers the number of blobs. The archive has been verified before.

    Raises UsageError for a disk that is too small.
    """
    _check_room(manifest, dump.parent)
    incoming, count, size = blobs.root / INCOMING, 0, 0
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    for member in archive.members():
        if member.name == DUMP:
            _write(dump, member.pieces())
        elif BLOB.fullmatch(member.name):
            _put(member, incoming, blobs)
            count, size = count + 1, size + member.size
            told(Step("restoring the files", size, manifest.blob_bytes))
    os.sync()  # once for all of them: syncing each would take 5 ms a file
    return count


def _put(member: Member, incoming: Path, blobs: BlobStore) -> None:
    final = blobs.path(member.name.rpartition("/")[2])
    fresh = incoming / final.name
    _write(fresh, member.pieces())
    final.parent.mkdir(mode=0o700, exist_ok=True)
    fresh.rename(final)


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(pieces)


def _check_room(manifest: Manifest, place: Path) -> None:
    needed, free = manifest.blob_bytes + DUMP_COPIES * manifest.dump_bytes, shutil.disk_usage(place).free
    if needed > free:
        raise UsageError(
            f"The backup needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free.",
            hint="Free some, or give another --state-dir.",
        )
