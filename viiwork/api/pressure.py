"""Whether there is room for new work: Redis' memory, and the disk that holds documents and answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from viiwork.api.lately import Lately
from viiwork.api.limits import MIB, in_mib
from viiwork.errors import Busy, Full, StoreUnavailable, ViiworkError
from viiwork.roster import BUSY_FROM, FULL_FROM
from viiwork.store import Store

LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 15.0
MAKE_ROOM = "cancel what is not needed, or let results go sooner (results.ttl_days)"


def refusal(
    *, used_fraction: float, free_bytes: int | None, min_free_bytes: int, body_bytes: int = 0
) -> ViiworkError | None:
    """Why no new work can be taken, or None. `free_bytes` is None where nobody can tell."""
    if used_fraction >= FULL_FROM:
        hint = f"Raise redis.max_memory_bytes, {MAKE_ROOM}."
        return Full(f"Redis' memory is {used_fraction:.0%} full: no new work is taken.", hint=hint)
    if free_bytes is not None and free_bytes - body_bytes < min_free_bytes:
        room = f"{free_bytes // MIB} MiB free, {in_mib(min_free_bytes)} must stay"
        what = "this" if body_bytes else "new work"
        message = f"The disk that holds the documents has no room for {what} ({room})."
        return Full(message, hint=f"Free some disk space, {MAKE_ROOM}, or lower api.min_free_bytes.")
    if used_fraction >= BUSY_FROM:
        message = f"Redis' memory is {used_fraction:.0%} full: new work is taken again below {BUSY_FROM:.0%}."
        hint = f"Send it again later; if that does not help, raise redis.max_memory_bytes or {MAKE_ROOM}."
        return Busy(message, hint=hint, retry_after_s=RETRY_AFTER_S)
    return None


class Gauge:
    """Looks at memory and disk once a second, however many requests ask; a fresh look takes half a millisecond."""

    def __init__(self, store: Store, *, min_free_bytes: int) -> None:
        self._store, self._min_free_bytes = store, min_free_bytes
        self._room = Lately(self._look, age_s=LOOK_EVERY_S)

    async def check(self, *, body_bytes: int = 0, fresh: bool = False) -> None:
        """Raises Busy or Full when there is no room, for a body of `body_bytes` in particular."""
        used_fraction, free_on_disk = await self._room.get(fresh=fresh)
        found = refusal(
            used_fraction=used_fraction,
            free_bytes=free_on_disk,
            min_free_bytes=self._min_free_bytes,
            body_bytes=body_bytes,
        )
        if found is not None:
            raise found

    async def while_room(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """A body that is written to disk, for as long as that has room: many that come at once each had it when they
        began, and one without a length said nothing of what it takes. Raises Full.
        """
        async for chunk in stream:
            _, free_on_disk = await self._room.get(fresh=False)
            found = refusal(used_fraction=0.0, free_bytes=free_on_disk, min_free_bytes=self._min_free_bytes)
            if found is not None:
                raise found
            yield chunk

    async def _look(self) -> tuple[float, int | None]:
        return await self._memory_fraction(), await asyncio.to_thread(free_bytes, self._store.directory.root)

    async def _memory_fraction(self) -> float:
        try:
            return (await self._store.pressure()).fraction
        except StoreUnavailable:  # some servers do not tell; one that does not answer at all shows at the next step
            return 0.0


def free_bytes(directory: Path) -> int | None:
    """What an ordinary user may still write where `directory` is, or is going to be; None if nobody can tell."""
    for place in (directory, *directory.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
