"""Copying keys from one server to another, byte by byte, under one prefix and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from viiwork.errors import Conflict
from viiwork.store.connection import unavailable
from viiwork.store.mentions import glob_escaped

PAGE = 200


async def copy_keys(
    source: Redis, target: Redis, *, old: str, new: str, leave_out: Collection[str] = ()
) -> AsyncIterator[int]:
    """Copy what lies under `old` in `source` to `new` in `target`; answers the number of keys, page by page.

    Both clients must not decode. What is there already is replaced, so it may be done again. Raises StoreUnavailable,
    or Conflict when the target cannot read what the source wrote.
    """
    skipped = {f"{old}{name}".encode() for name in leave_out}
    try:
        async for keys in _pages(source, old):
            page = [key for key in keys if key not in skipped]
            yield await _copy(source, target, page, old=old.encode(), new=new.encode())
    except (RedisError, OSError) as error:
        if "DUMP payload" in str(error):
            message = "This Redis cannot read what the backup's Redis wrote: it is older, or of the other kind."
            raise Conflict(message, hint="Restore into the kind and version that the backup names.") from error
        raise unavailable(error) from error


async def first_key(client: Redis, *, prefix: str) -> bytes | None:
    """Any key under `prefix`. Raises StoreUnavailable."""
    try:
        async for keys in _pages(client, prefix):
            return keys[0]
    except (RedisError, OSError) as error:
        raise unavailable(error) from error
    return None


async def _pages(client: Redis, prefix: str) -> AsyncIterator[Sequence[bytes]]:
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{glob_escaped(prefix)}*", count=PAGE)
        if keys:
            yield [key if isinstance(key, bytes) else key.encode() for key in keys]
        if cursor == 0:
            return


async def _copy(source: Redis, target: Redis, keys: Sequence[bytes], *, old: bytes, new: bytes) -> int:
    """One page. A key that ran out meanwhile is no longer anybody's."""
    reading = source.pipeline(transaction=False)
    for key in keys:
        reading.execute_command("DUMP", key)
        reading.execute_command("PEXPIRETIME", key)
    answers = await reading.execute()
    writing, copied = target.pipeline(transaction=False), 0
    for key, body, ends_ms in zip(keys, answers[::2], answers[1::2], strict=True):
        if body is not None:
            ends = ("0",) if ends_ms < 0 else (str(ends_ms), "ABSTTL")
            writing.execute_command("RESTORE", new + key.removeprefix(old), ends[0], body, "REPLACE", *ends[1:])
            copied += 1
    if copied:
        await writing.execute()
    return copied
