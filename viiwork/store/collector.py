"""The sweeper: removes blobs that no record names, and uploads that nobody finished.

A blob is written before the record that names it, so whoever dies in between leaves one behind: a killed upload, a
commit that was fenced. Mark and sweep, in a fixed amount of memory: every job's record is read once, in pages, into a
sketch of the names in use; then the directories are looked through, one at a time. A blob younger than the grace is
never touched, so a record made meanwhile can name none that goes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from viiwork.errors import StoreUnavailable, ViiworkError
from viiwork.store.blobdir import Orphan, disk_now_s, has_blobs, old_blobs, old_uploads, shelves
from viiwork.store.facade import Store
from viiwork.store.mentions import mentions
from viiwork.store.pairing import Pairing
from viiwork.store.sketch import NameSketch
from viiwork.store.snapshot import clear_stale

GRACE_S = 24 * 3600.0
"""An upload may take that long before its first job is submitted."""
EVERY_MS = 6 * 3600 * 1000
AGAIN_MS = 10 * 60 * 1000
"""After a run that Redis or the disk broke off."""
LOCK = "gc"
LOOK_S = 300.0
"""How often a worker asks whether it is its turn."""
SETTLED_S = 900.0
"""After a start of Redis the sweeper waits: a commit that was held up by its absence may name an old blob."""
PAUSE_S = 0.02
"""Between pages, so that neither Redis nor this process is ever busy with it for long."""
WITNESSES = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run came to; in a dry run, what it would have removed."""

    records: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    uploads: int = 0
    upload_bytes: int = 0
    dry_run: bool = False

    def plus(self, orphan: Orphan) -> Collected:
        """With one more."""
        if orphan.kind == "upload":
            return replace(self, uploads=self.uploads + 1, upload_bytes=self.upload_bytes + orphan.bytes)
        return replace(self, blobs=self.blobs + 1, blob_bytes=self.blob_bytes + orphan.bytes)


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a Redis server."""

    run_id: str
    uptime_s: float


class Collector:
    """Sweeps one fleet's blob directory."""

    def __init__(self, store: Store, *, grace_s: float = GRACE_S, pause_s: float = PAUSE_S) -> None:
        self._store, self._root = store, store.directory.root
        self._grace_s, self._pause_s = grace_s, pause_s
        self._pairing = Pairing(store, self._root)

    async def collect(
        self, *, dry_run: bool = False, adopt: bool = False, told: Callable[[Orphan], None] | None = None
    ) -> Collected:
        """One run over everything; `told` hears of each orphan.

        Raises Conflict when directory and Redis do not belong together (`adopt` says that they do), StoreUnavailable.
        """
        if not self._root.is_dir():
            return Collected(dry_run=dry_run)
        try:
            return await self._collect(dry_run=dry_run, adopt=adopt, told=told or (lambda _: None))
        except OSError as error:
            raise StoreUnavailable(f"The blob directory {self._root} cannot be swept: {error.strerror}.") from error

    async def run(self, *, owner: str) -> Collected | None:
        """`collect` if it is the fleet's turn, which comes once in six hours; None when it is not."""
        if not self._root.is_dir() or (await self._server()).uptime_s < SETTLED_S:
            return None
        here, there = await self._pairing.read()
        if here != there:  # not this host's to sweep; `viiwork doctor` says so
            return None
        lock = f"{self._store.prefix}{LOCK}"
        (mine,) = await self._store.read([("SET", lock, owner, "NX", "PX", str(EVERY_MS))])
        try:
            return await self.collect() if mine else None
        except StoreUnavailable:
            with suppress(StoreUnavailable):  # it may still be away; then the turn is lost
                await self._store.read([("PEXPIRE", lock, str(AGAIN_MS))])
            raise

    async def tend(self, stop: asyncio.Event, *, owner: str) -> None:
        """Run whenever it is this process' turn, until `stop`. Nothing that goes wrong here leaves it."""
        work = asyncio.create_task(self._tend(owner))
        try:
            await stop.wait()
        finally:
            while not work.done():  # one that meets a reply of Redis gets lost: 1 stop in 20, measured
                work.cancel()
                await asyncio.wait({work}, timeout=0.1)

    async def _tend(self, owner: str) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                found = await self.run(owner=owner)
            except ViiworkError as error:
                log.warning("the sweep of the blob directory waits for its next turn: %s", error)
                continue
            except Exception:  # a defect here must not end a worker
                log.exception("the sweep of the blob directory met a defect")
                continue
            if found and (found.blobs or found.uploads):
                log.info("removed %d blobs and %d stale uploads that no record names", found.blobs, found.uploads)

    async def _collect(self, *, dry_run: bool, adopt: bool, told: Callable[[Orphan], None]) -> Collected:
        now_s = await asyncio.to_thread(disk_now_s, self._root)
        sketch, records, witnessed = await self._mark()
        any_blobs = await asyncio.to_thread(has_blobs, self._root)
        if not adopt:
            await self._pairing.check(has_blobs=any_blobs, some_are_named=witnessed)
        if not dry_run:
            await self._pairing.seal(anew=adopt)
            await asyncio.to_thread(clear_stale, self._root)
        total = Collected(records=records, dry_run=dry_run)
        async for orphan in self._orphans(sketch, now_s):
            if not dry_run:
                await asyncio.to_thread(orphan.remove)
            told(orphan)
            total = total.plus(orphan)
        return total

    async def _mark(self) -> tuple[NameSketch, int, bool]:
        """Every blob's name that a record holds, how many records there are, and whether one of those blobs is here.

        Raises StoreUnavailable when the server was exchanged meanwhile: a cursor means nothing to another one.
        """
        sketch, records, tries, witnessed = NameSketch(), 0, WITNESSES, False
        server = (await self._server()).run_id
        async for page in mentions(self._store, pause_s=self._pause_s):
            records += len(page)
            for name in chain.from_iterable(page):
                sketch.add(name)
                if not witnessed and tries:
                    tries, witnessed = tries - 1, _is_here(self._store, name)
        if (await self._server()).run_id != server:
            raise StoreUnavailable("Redis was started anew during the sweep.", hint="Nothing was removed; try again.")
        return sketch, records, witnessed

    async def _orphans(self, sketch: NameSketch, now_s: float) -> AsyncIterator[Orphan]:
        age = {"now_s": now_s, "grace_s": self._grace_s}
        for shelf in await asyncio.to_thread(shelves, self._root):
            for orphan in await asyncio.to_thread(old_blobs, shelf, **age):
                if orphan.path.name not in sketch:
                    yield orphan
            await asyncio.sleep(self._pause_s)
        for orphan in await asyncio.to_thread(old_uploads, self._root, **age):
            yield orphan

    async def _server(self) -> Life:
        (info,) = await self._store.read([("INFO", "server")])
        return Life(run_id=str(info["run_id"]), uptime_s=float(info["uptime_in_seconds"]))


def _is_here(store: Store, name: str) -> bool:
    with suppress(ViiworkError):
        return store.directory.path(name).is_file()
    return False
