"""Whose a job, a document or an analysis is, or was: its record says so, and what stays of it once it is gone."""

from __future__ import annotations

from viiwork.batches.batchobject import inner
from viiwork.jobs import batch_of
from viiwork.store.connection import Connection


async def owner_of(store: Connection, any_id: str) -> str | None:
    """Its tenant; None where nothing of it is known. What was cleared away has one for as long as it answers 410."""
    root, key = batch_of(any_id) or any_id, store.prefix
    batch, job, deleted, gone = await store.read(
        [
            ("HGET", f"{key}batch:{root}", "tenant"),
            ("HGET", f"{key}job:{root}", "tenant"),
            ("HGET", f"{key}deleted:{root}", "tenant"),
            ("GET", f"{key}gone:{root}"),
        ]
    )
    found: str = batch or job or deleted or (gone or "").partition(" ")[2]
    return found or None


async def callback_owner(store: Connection, callback_id: str) -> str | None:
    """Whose a callback is; None for one that is not there, and for what is told of the fleet to nobody's endpoint."""
    (tenant,) = await store.read([("HGET", f"{store.prefix}callback:{callback_id}", "tenant")])
    return tenant or None


async def endpoint_owner(store: Connection, endpoint_id: str) -> str | None:
    """Whose an endpoint is."""
    (tenant,) = await store.read([("HGET", f"{store.prefix}endpoint:{endpoint_id}", "tenant")])
    return tenant or None


async def file_owner(store: Connection, file_id: str) -> str | None:
    """Whose a file of `/v1/files` is."""
    (tenant,) = await store.read([("HGET", f"{store.prefix}file:{file_id}", "tenant")])
    return tenant or None


async def batch_owner(store: Connection, batch_id: str) -> str | None:
    """Whose a batch of `/v1/batches` is, or was."""
    return await owner_of(store, inner(batch_id) or "none")
