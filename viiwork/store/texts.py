"""What was read of documents, kept in the blob store under names that say whose content it is and who read it.

A text belongs to the record of the job that read it and goes with it, so a removed analysis leaves none behind.
"""

from __future__ import annotations

from contextlib import suppress

from viiwork.errors import NotFound
from viiwork.store.facade import Store
from viiwork.store.intake import Fence


async def find_text(store: Store, key: str) -> bytes | None:
    """What is kept under the name, if anything. Raises StoreUnavailable."""
    (blob,) = await store.read([("GET", f"{store.prefix}text:{key}")])
    if not blob:
        return None
    with suppress(NotFound):  # removed with its analysis since it was asked for
        return await store.blobs.read(str(blob))
    return None


async def keep_text(store: Store, fence: Fence, *, key: str, content: bytes) -> bool:
    """Keep it for as long as the job's record; False where the fence is down, or it has one."""
    blob = (await store.blobs.put(content)).id
    kept = await store.call("keep", fence.job, fence.attempt, fence.token, key, blob)
    if not kept:
        await store.blobs.delete(blob)
    return bool(kept)
