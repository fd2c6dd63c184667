"""A look at the queues from time to time: what stands still is told once, until it moves again."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime

from viiwork.callbacks.stalls import QueueLook, Stalls, unheld
from viiwork.deliveries import EventType
from viiwork.errors import StoreUnavailable
from viiwork.roster import FleetStatus, QueueDepth
from viiwork.store import Store, callbacks

log = logging.getLogger("viiwork.callbacks")

TOLD = "stalled"
"""A hash: queues of which it was told, and since when."""


async def watch(store: Store, *, after_s: float, every_s: float) -> None:
    """For as long as the task lives. With no endpoint there is nobody to tell, and nothing is looked at."""
    stalls = Stalls(after_s=after_s)
    while True:
        await asyncio.sleep(every_s)
        try:
            await look(store, stalls)
        except StoreUnavailable:
            continue  # whoever sends says so
        except Exception as error:  # noqa: BLE001 - one odd look must not end them all
            log.error("the queues could not be looked at (%s)", type(error).__name__)  # noqa: TRY400 - may quote a record


async def look(store: Store, stalls: Stalls) -> None:
    """Once."""
    endpoints, told = await store.read([("SCARD", f"{store.prefix}endpoints"), ("HKEYS", f"{store.prefix}{TOLD}")])
    if not endpoints:
        return
    status = await store.fleet()
    looks = unheld(await _looks(store, status), status, now=datetime.now(UTC))
    standing = stalls.judge(looks, now_s=time.monotonic())
    for each in standing:
        await callbacks.tell_once(
            store,
            known_as=(TOLD, each.queue, str(int(time.time()))),
            kind=EventType.FLEET_STALLED,
            subject=each.queue,
            about=("model", each.model, "lane_of_work", each.lane.value, "waiting", str(each.waiting)),
        )
    moved = [queue for queue in told if _moves(queue, looks)]
    if moved:
        await store.read([("HDEL", f"{store.prefix}{TOLD}", *moved)])


def _moves(queue: str, looks: list[QueueLook]) -> bool:
    """Something of it runs, or nothing is left that could."""
    known = next((each for each in looks if each.queue == queue), None)
    return known is None or known.running > 0 or not known.ready


async def _looks(store: Store, status: FleetStatus) -> list[QueueLook]:
    started = (await store.stats()).get("started", {})
    return [await _look_at(store, each, started) for each in status.queues]


async def _look_at(store: Store, depth: QueueDepth, started: dict[str, int]) -> QueueLook:
    queue = f"{depth.lane.value}.{depth.model}"
    waiting = depth.waiting + depth.queued
    if not waiting:
        return QueueLook(queue, False, 0, depth.running, 0)
    names = (("ZCARD", "backlog"), ("LLEN", "merges"), ("LLEN", "suspects"), ("ZCARD", "released"))
    counts = await store.read([(command, f"{store.prefix}{name}:{queue}") for command, name in names])
    return QueueLook(queue, any(map(int, counts)), waiting, depth.running, started.get(queue, 0))
