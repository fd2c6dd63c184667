"""A fleet's data in one file, taken while it runs: Redis as it was at one moment, and every file that it names.

Blobs never change and are written before any record names them. So they are kept by hard links first; then Redis is
copied as of one moment; then what appeared meanwhile is added. Whatever the copy names is there.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from viiwork.errors import Conflict, UsageError
from viiwork.store.archive import DUMP, ArchiveWriter, is_compressed
from viiwork.store.facade import Store
from viiwork.store.manifest import Manifest
from viiwork.store.pairing import Pairing
from viiwork.store.rdb import stream_rdb
from viiwork.store.server_facts import gather
from viiwork.store.snapshot import Snapshot
from viiwork.wire import SCHEMA


@dataclass(frozen=True, slots=True)
class Step:
    """How far a long piece of work is. `total` is 0 where nobody knows it."""

    what: str
    done: int = 0
    total: int = 0
    unit: str = "bytes"


Told = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Copy:
    """What goes into the archive: the server's data, and the files."""

    dump: IO[bytes]
    dump_bytes: int
    snapshot: Snapshot


async def back_up(store: Store, target: Path, *, url: str, told: Told = lambda _: None) -> Manifest:
    """Write the fleet's data to `target`, complete or not at all, readable by its owner alone.

    Raises UsageError for a target that is there already or cannot be written, Conflict when the blob directory is
    another fleet's, StoreUnavailable.
    """
    compressed = is_compressed(target)
    await _check_blobs(store)
    facts = await _facts(store, url)
    scratch = target.parent
    with (
        _whole_file(target) as file,
        tempfile.TemporaryFile(dir=scratch) as dump,
        Snapshot(store.directory.root) as snapshot,
    ):
        told(Step("keeping the files"))
        await asyncio.to_thread(snapshot.take)
        dump_bytes = await _dump(store, dump, url=url, told=told)
        await asyncio.to_thread(snapshot.take)
        writer = ArchiveWriter(file, compressed=compressed, scratch=scratch)
        return await asyncio.to_thread(_pack, writer, Copy(dump, dump_bytes, snapshot), facts, told)


async def _check_blobs(store: Store) -> None:
    """A directory that is not this fleet's would give a backup without its documents."""
    here, there = await Pairing(store, store.directory.root).read()
    if there and here != there:
        raise Conflict(
            f"The blob directory {store.directory.root} does not belong to this Redis: a backup would miss its files.",
            hint="Run this on the fleet's own host, with its state directory; `viiwork doctor` tells more.",
            code="strange_blobs",
        )


async def _facts(store: Store, url: str) -> dict[str, Any]:
    """The fields of the manifest that are known before anything is copied."""
    server = await gather(store.client, url=url)
    (clock,) = await store.read([("TIME",)])
    return {
        "id": secrets.token_hex(16),
        "viiwork": version("viiwork"),
        "schema_version": SCHEMA,
        "fleet": store.fleet_name,
        "prefix": store.prefix,
        "db": int(store.client.connection_pool.connection_kwargs.get("db") or 0),
        "server": f"{server.kind} {server.version}",
        "taken": datetime.fromtimestamp(int(clock[0]), UTC).isoformat(),
    }


async def _dump(store: Store, dump: IO[bytes], *, url: str, told: Told) -> int:
    """The server's data into a file of its own, since a tar must know its length beforehand."""
    size = 0
    told(Step("copying Redis"))
    async for piece in stream_rdb(store.client, url=url):
        await asyncio.to_thread(dump.write, piece)
        size += len(piece)
        told(Step("copying Redis", size))
    return size


def _pack(writer: ArchiveWriter, copy: Copy, facts: dict[str, Any], told: Told) -> Manifest:
    """Everything into one archive, the manifest last."""
    with writer:
        copy.dump.seek(0)
        dump_sha256, blobs, size = writer.add(DUMP, copy.dump, copy.dump_bytes), 0, 0
        for path in copy.snapshot.files():
            with path.open("rb") as source:
                length = os.fstat(source.fileno()).st_size
                writer.add(f"blobs/{path.parent.name}/{path.name}", source, length)
            blobs, size = blobs + 1, size + length
            told(Step("packing the files", size))
        manifest = Manifest(
            **facts,
            dump_bytes=copy.dump_bytes,
            dump_sha256=dump_sha256,
            blobs=blobs,
            blob_bytes=size,
            sums_sha256=writer.finish_sums(),
        )
        writer.finish(manifest)
    return manifest


@contextmanager
def _whole_file(target: Path) -> Iterator[IO[bytes]]:
    """A new file that has its name only once all of it is on the disk."""
    if target.exists():
        raise UsageError(f"{target} is there already.", hint="Give another name, or remove it.", param="file")
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(target)
        _sync_directory(target.parent)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        where = error.filename if isinstance(error.filename, str) else target
        message = f"The backup cannot be written: {where}: {reason}."
        raise UsageError(message, hint="Nothing is left of it.", param="file") from error
    finally:
        fresh.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
