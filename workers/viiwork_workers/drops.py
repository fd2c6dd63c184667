"""Hears at once that a job was cancelled or expired while it ran here; a beat alone would say so up to a second later.

Redis publishes `<job id> <state>` on a channel of this incarnation's own. What is published while nobody listens is
lost, and the next beat says it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from redis.exceptions import RedisError

from viiwork.store import Store

log = logging.getLogger(__name__)

QUIET_S = 30.0
"""After so much silence the connection is made anew: nobody can tell a quiet one from a dead one."""

OnDrop = Callable[[str, str], None]


def channel_of(store: Store, incarnation: str) -> str:
    """Where the scripts that end a running job say so; `take_away` in lib.lua publishes there."""
    return f"{store.prefix}drop:{incarnation}"


async def hear_drops(store: Store, incarnation: str, on_drop: OnDrop, *, stop: asyncio.Event, pause_s: float) -> None:
    """Call `on_drop(job, state)` for each, until `stop`; a lost connection is made again after `pause_s`."""
    hearing = asyncio.ensure_future(_hear_on(store, channel_of(store, incarnation), on_drop, pause_s=pause_s))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({hearing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    hearing.cancel()
    with suppress(asyncio.CancelledError):
        await hearing  # raises the defect that ended it early, if there was one


async def _hear_on(store: Store, channel: str, on_drop: OnDrop, *, pause_s: float) -> None:
    while True:
        try:
            await _hear(store, channel, on_drop)
        except (RedisError, OSError) as error:
            log.warning("cancelled jobs are dropped by the next beat for a moment: %s", type(error).__name__)
            await asyncio.sleep(pause_s)


async def _hear(store: Store, channel: str, on_drop: OnDrop) -> None:
    async with store.client.pubsub() as listener:
        await listener.subscribe(channel)
        while (message := await listener.get_message(timeout=QUIET_S)) is not None:
            if message["type"] == "message":
                job, _, state = str(message["data"]).partition(" ")
                on_drop(job, state)
