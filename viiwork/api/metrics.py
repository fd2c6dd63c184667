"""`/metrics`: what Prometheus asks for, read once a scrape; nothing is counted in this process."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client.exposition import choose_encoder

from viiwork.api.intake import Intake
from viiwork.errors import StoreUnavailable
from viiwork.store import callbacks
from viiwork.store.gauges import oldest_s
from viiwork.store.meters import by_worker
from viiwork.store.watch import Watch
from viiwork.telemetry import Once, Snapshot, known_queues

PATIENCE_S = 5.0
"""Prometheus waits 10 s by default, and must hear that Redis is away."""

KINDS = ("text/plain", "application/openmetrics-text")
WRITTEN: dict[int | str, dict[str, Any]] = {200: {"content": {kind: {"schema": {"type": "string"}} for kind in KINDS}}}

router = APIRouter(tags=["fleet"])


@router.get("/metrics", response_class=Response, responses=WRITTEN)
async def metrics(request: Request) -> Response:
    """The fleet in Prometheus' text format; `viiwork_up 0`, and little else, while Redis does not answer."""
    watch: Watch = request.app.state.watch
    snapshot = await snap(request.app.state.intake, version=request.app.version, listeners=watch.listeners)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(Once(snapshot)), media_type=content_type)


async def snap(desk: Intake, *, version: str, listeners: int) -> Snapshot:
    """The fleet now."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _whole(desk, version=version, listeners=listeners, began_s=began_s)
    except (StoreUnavailable, TimeoutError):
        return Snapshot(version=version, listeners=listeners, scrape_s=time.monotonic() - began_s)


async def _whole(desk: Intake, *, version: str, listeners: int, began_s: float) -> Snapshot:
    store = desk.store
    fleet = await store.fleet()
    memory = await store.pressure()
    ages = await oldest_s(store, known_queues(fleet))
    counts = await store.stats()
    energy = await by_worker(store)
    told = {state.value: count for state, count in (await callbacks.counts(store)).items()}
    return Snapshot(
        version=version,
        listeners=listeners,
        fleet=fleet,
        lease_ttl_s=desk.settings.queue.lease_ttl_s,
        oldest_s=ages,
        counts=counts,
        energy=energy,
        callbacks=told,
        memory_used_bytes=memory.used_bytes,
        memory_limit_bytes=memory.limit_bytes,
        scrape_s=time.monotonic() - began_s,
    )
