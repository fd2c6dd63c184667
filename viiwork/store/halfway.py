"""The mark on a fleet that is only half restored, so that nobody takes it for a whole one."""

from __future__ import annotations

from viiwork.errors import StoreUnavailable
from viiwork.store.connection import Connection

MARK = "restoring"


async def check_whole(store: Connection) -> None:
    """Raises StoreUnavailable when a restore into this fleet was broken off, or is under way."""
    if await half_of(store):
        raise StoreUnavailable(
            f"A restore into this fleet is under way or was broken off (key {store.prefix}{MARK}).",
            hint="Run `viiwork restore` again with the same file.",
        )


async def half_of(store: Connection) -> str:
    """The id of the backup that is half restored here; empty for none."""
    (mark,) = await store.read([("GET", f"{store.prefix}{MARK}")])
    return mark or ""


async def begin(store: Connection, backup_id: str) -> None:
    """From now on this is half of that backup."""
    await store.read([("SET", f"{store.prefix}{MARK}", backup_id)])


async def end(store: Connection) -> None:
    """It is whole."""
    await store.read([("DEL", f"{store.prefix}{MARK}")])
