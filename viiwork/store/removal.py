"""Deleting an analysis, and clearing away what is deleted or has outlived its time."""

from __future__ import annotations

import asyncio
import logging
import os

from viiwork.errors import NotFound
from viiwork.receipts import Receipt
from viiwork.store.blobs import Blobs, BlobStore
from viiwork.store.callbacks import as_hash
from viiwork.store.steering import Steering

TOMBSTONE_MS = 365 * 86_400_000
"""How long a purged batch answers 410 with its date rather than 404, and a deleted one its receipt; a single job does
for as long as it was kept."""
PATIENCE_S = 5.0
"""How long whoever deletes clears away; the fleet's upkeep does the rest."""
UNLINKED_AT_ONCE = 500

log = logging.getLogger(__name__)


async def remove(store: Steering, batch_id: str, *, for_s: float = PATIENCE_S) -> Receipt:
    """Delete a batch and everything that is kept of it, whatever its state; what runs of it is stopped first.

    Asking again goes on with it, and answers the same. Raises NotFound, or Gone when its time was over before.
    """
    if await store.call("batch", "remove", batch_id, TOMBSTONE_MS):
        await store.stop_running(batch_id)
        await _clear(store, batch_id, for_s=for_s)
    found = await receipt(store, batch_id)
    if found is None:
        await store.batch(batch_id)  # raises what there is to say of it
        raise AssertionError("a batch that is there has a receipt")
    return found


async def receipt(store: Steering, batch_id: str) -> Receipt | None:
    """What was written down of a batch's deletion; None where there was none."""
    left, raw = await store.read(
        [("SCARD", f"{store.prefix}unlinking"), ("HGETALL", f"{store.prefix}deleted:{batch_id}")]
    )
    record = as_hash(raw)
    if not record:
        return None
    counts = {name: int(record.get(name) or 0) for name in ("documents", "jobs", "blobs", "callbacks")}
    ended_ms = int(record["done_ms"]) if record.get("done_ms") else None
    finished = ended_ms is not None and not int(left)  # a file that stays may be one of its own
    return Receipt(
        id=batch_id,
        deleted_ms=int(record["at_ms"]),
        finished=finished,
        finished_ms=ended_ms if finished else None,
        was=record.get("was", ""),
        **counts,
    )


async def purge(store: Steering, batch_id: str = "") -> bool:
    """Clear a slice away of what is due, or of this deleted batch; true while there may be more."""
    more, *blobs = await store.call("purge", TOMBSTONE_MS, batch_id)
    await unlink(store, blobs)
    return bool(more)


async def unlink_left(store: Steering) -> None:
    """Remove the files that whoever died between a record and its files left standing."""
    (left,) = await store.read([("SRANDMEMBER", f"{store.prefix}unlinking", str(UNLINKED_AT_ONCE))])
    await unlink(store, left)


async def _clear(store: Steering, batch_id: str, *, for_s: float) -> None:
    """Slice by slice, standing back after each for as long as it took: others need the server too."""
    clock = asyncio.get_running_loop()
    until = clock.time() + for_s
    while clock.time() < until:
        begin = clock.time()
        if not await purge(store, batch_id):
            return
        await asyncio.sleep(clock.time() - begin)


async def unlink(store: Steering, blobs: list[str]) -> None:
    """Remove files, and note those that are gone. A host that joined forgets its copies; the head removes them."""
    gone = [blob for blob in blobs if await _is_removed(store.blobs, blob)]
    if gone and isinstance(store.blobs, BlobStore):
        await store.read([("SREM", f"{store.prefix}unlinking", *gone)])


async def _is_removed(blobs: Blobs, blob: str) -> bool:
    try:
        await blobs.delete(blob)
    except NotFound:  # it cannot be the name of one
        return True
    except OSError as error:  # it is tried again, and must not hold the others up
        log.warning("a deleted file cannot be removed yet: %s", os.strerror(error.errno or 0))
        return False
    return True
