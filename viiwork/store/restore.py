"""A backup into a fleet that holds nothing: verified first, then its files, then its keys.

The keys come out of the backup by way of a private server that loads the dump, key by key, under the fleet's prefix
alone: what else the old server held is never looked at. Until all is there a mark lies in the target, so that nobody
takes half a fleet for a whole one; a restore that was broken off goes on when it is run again with the same file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import Conflict, UsageError
from viiwork.settings import Settings
from viiwork.statedir import FleetLock, StateDir
from viiwork.store import embedded, halfway
from viiwork.store.archive import Archive
from viiwork.store.backup import Step, Told
from viiwork.store.blobdir import has_blobs
from viiwork.store.endpoint import connect
from viiwork.store.facade import Store
from viiwork.store.keycopy import copy_keys, first_key
from viiwork.store.manifest import Manifest
from viiwork.store.mentions import mentions
from viiwork.store.opening import make_store
from viiwork.store.pairing import KEY, Pairing
from viiwork.store.scratch import Scratch, prefer
from viiwork.store.server_check import check_server
from viiwork.store.unpacking import unpack

OF_THE_MOMENT = ("closing", "gc", "hold", "upkeep", KEY, halfway.MARK)
"""Keys that speak of the old fleet and the moment of its backup, not of its work."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore came to."""

    manifest: Manifest
    keys: int
    blobs: int
    given_back: int
    """Jobs that ran at the moment of the backup: they run again."""
    missing: int
    """Files that a record names and that the backup does not hold: deleted on purpose while it was taken."""


@dataclass(frozen=True, slots=True)
class Target:
    """The fleet that the backup goes into: its store, and where its Redis is."""

    store: Store
    url: str
    state: StateDir


async def restore(settings: Settings, path: Path, *, told: Told = lambda _: None) -> Restored:
    """Put the backup in `path` into this fleet, which must not run and must hold nothing.

    Raises UsageError for a file that is not a whole backup, Conflict for a fleet that holds something, StartupError
    when it runs, StoreUnavailable.
    """
    state = StateDir(settings.state_dir)
    with Archive(path) as archive:
        size = archive.file_bytes
        manifest = await asyncio.to_thread(archive.verify, told=lambda at: told(Step("checking the backup", at, size)))
        state.prepare()
        with FleetLock(state, fleet=settings.fleet.name):
            async with _target(settings, state, manifest) as target:
                await _check_empty(target.store, manifest)
                await halfway.begin(target.store, manifest.id)
                return await _fill(target, archive, manifest, told)


@asynccontextmanager
async def _target(settings: Settings, state: StateDir, manifest: Manifest) -> AsyncIterator[Target]:
    """The fleet's store; its embedded server runs for as long as it is needed."""
    server = None
    if settings.redis.url == "embedded":
        prefer(state, manifest.server)
        server = await asyncio.to_thread(embedded.start, settings)
    url = embedded.locate(settings)
    store = make_store(settings, url)
    try:
        await check_server(store.client, url=url)
        yield Target(store, url, state)
        await store.confirm()
    finally:
        await store.close()
        if server is not None and not server.adopted:
            await asyncio.to_thread(server.stop)


async def _check_empty(store: Store, manifest: Manifest) -> None:
    """Raises Conflict unless nothing is there, or only what an earlier try with the same backup has left."""
    half = await halfway.half_of(store)
    if half == manifest.id:
        return
    if half:
        hint = "Finish it with that file, or give another --state-dir and redis.prefix."
        raise Conflict("A restore of another backup was broken off here.", hint=hint, code="not_empty")
    key = await first_key(store.client, prefix=store.prefix)
    if key or (store.directory.root.is_dir() and await asyncio.to_thread(has_blobs, store.directory.root)):
        raise Conflict(
            f"The fleet '{store.fleet_name}' holds work already.",
            hint="Restore into a new one: another --state-dir (and another redis.prefix on a Redis of your own).",
            code="not_empty",
        )


async def _fill(target: Target, archive: Archive, manifest: Manifest, told: Told) -> Restored:
    """Files first, then the keys that name them, then what must not be as it was."""
    store = target.store
    with Scratch(target.state.root) as scratch:
        try:
            blobs = await asyncio.to_thread(
                unpack, archive, manifest, dump=scratch.dump, blobs=store.directory, told=told
            )
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise UsageError(f"The backup cannot be unpacked: {reason}.", hint="Run it again once it can.") from error
        keys = await _copy(target, scratch, manifest, told)
    given_back = await _give_back(store)
    missing = await _missing(store)
    await Pairing(store, store.directory.root).seal(anew=True)
    await halfway.end(store)
    return Restored(manifest, keys=keys, blobs=blobs, given_back=given_back, missing=missing)


async def _copy(target: Target, scratch: Scratch, manifest: Manifest, told: Told) -> int:
    told(Step("loading the dump"))
    async with scratch.server(written_by=manifest.server, db=manifest.db) as source:
        total, keys, into = int(await source.dbsize()), 0, connect(target.url)
        try:
            names = {"old": manifest.prefix, "new": target.store.prefix}
            async for copied in copy_keys(source, into, **names, leave_out=OF_THE_MOMENT):
                keys += copied
                told(Step("restoring the records", keys, total, "keys"))
        finally:
            await into.aclose()
    return keys


async def _give_back(store: Store) -> int:
    """What ran is nobody's fault: it goes back uncharged, now, rather than when the old leases run out."""
    (incarnations,) = await store.read([("ZRANGE", f"{store.prefix}incs", "0", "-1")])
    return await store.reap(*incarnations, ttl_ms=0, crashed=False) if incarnations else 0


async def _missing(store: Store) -> int:
    missing = 0
    async for page in mentions(store):
        missing += sum(not store.directory.path(name).is_file() for record in page for name in record)
    return missing
