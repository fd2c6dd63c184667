"""Which blobs the records of jobs and of files name, read in pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from viiwork.store.connection import Connection

BLOB_FIELDS = ("input_blob", "result_blob", "document_blob", "text_blob", "shared_blobs")
"""The fields of a job's record that name blobs; the last one names several, with spaces between them."""
PAGE = 200


async def mentions(store: Connection, *, pause_s: float = 0.0) -> AsyncIterator[list[list[str]]]:
    """A page of records at a time, each as the blobs that it names. Raises StoreUnavailable.

    SCAN shows every record that is there from its beginning to its end, as long as it is one server that answers.
    """
    cursor, pattern = "0", f"{glob_escaped(store.prefix)}job:*"
    while True:
        ((following, keys),) = await store.read([("SCAN", cursor, "MATCH", pattern, "COUNT", str(PAGE))])
        if keys:
            records = await store.read(("HMGET", key, *BLOB_FIELDS) for key in keys)
            yield [[name for names in record if names for name in names.split()] for record in records]
        cursor = str(following)
        if cursor == "0":
            break
        await asyncio.sleep(pause_s)
    async for page in _of_files(store, pause_s=pause_s):
        yield page


async def _of_files(store: Connection, *, pause_s: float) -> AsyncIterator[list[list[str]]]:
    """The blobs of what clients sent and batches wrote: one hash has them all."""
    cursor = "0"
    while True:
        ((following, flat),) = await store.read([("HSCAN", f"{store.prefix}files", cursor, "COUNT", str(PAGE))])
        blobs = list(flat.values() if isinstance(flat, dict) else flat[1::2])
        if blobs:
            yield [[blob] for blob in blobs]
        cursor = str(following)
        if cursor == "0":
            return
        await asyncio.sleep(pause_s)


def glob_escaped(text: str) -> str:
    """`text` for a MATCH pattern, taken literally."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)
