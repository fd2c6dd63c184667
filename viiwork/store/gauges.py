"""What is asked of the store to be looked at: how long jobs have waited, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from viiwork.roster import FleetStatus, TenantLoad
from viiwork.store.connection import Connection
from viiwork.store.drains import drained, hosts
from viiwork.store.meters import by_tenant, of_fleet

SIMULATED = "simulated "
"""What the name of a card starts with that is not there."""
SLICES = 5
"""Of 100 of a queue's groups (a tenant's batches) each: a longer script would hold everybody else up."""


async def oldest_s(store: Connection, queues: Sequence[str]) -> dict[str, float]:
    """For how long the oldest job of each queue has waited; 0 where none waits.

    The heads of a queue's groups are looked at, not its jobs, so a million of them cost what one does. With more than
    500 groups it is the oldest of those that were not served for the longest.
    """
    return {queue: await _oldest_s(store, queue) for queue in queues}


async def _oldest_s(store: Connection, queue: str) -> float:
    oldest_ms, tenant, group = 0, 0, 0
    for _ in range(SLICES):
        age_ms, tenant, group = await store.call("oldest", queue, tenant, group)
        oldest_ms = max(oldest_ms, int(age_ms))
        if tenant < 0:
            break
    return oldest_ms / 1000


async def heaviest(store: Connection, *, limit: int = 10, tenant: str = "") -> tuple[TenantLoad, ...]:
    """The submitters with the most unfinished jobs, then those whose jobs used most energy; with `tenant` it alone."""
    (flat,) = await store.read([("HGETALL", f"{store.prefix}load")])
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    unfinished = {tenant: int(jobs) for tenant, jobs in pairs}
    sums = await by_tenant(store)
    used, unknown = sums.get("jobs", {}), sums.get("unknown", {})
    loads = [
        TenantLoad(
            tenant=tenant,
            unfinished=unfinished.get(tenant, 0),
            energy_j=used[tenant] / 1000 if tenant in used else None,
            energy_unknown_jobs=unknown.get(tenant, 0),
        )
        for tenant in ({tenant} if tenant else {*unfinished, *used, *unknown})
    ]
    return tuple(nlargest(limit, loads, key=lambda load: (load.unfinished, load.energy_j or 0.0, load.tenant)))


async def surveyed(store: Connection, status: FleetStatus, *, tenant: str = "") -> FleetStatus:
    """The same fleet, also with who waits in it and for how long, its hosts' cards, and what those have used.

    Of those who wait `tenant` alone is told, where one is given.
    """
    waits = await oldest_s(store, [f"{depth.lane.value}.{depth.model}" for depth in status.queues])
    queues = tuple(
        depth.model_copy(update={"oldest_s": waits[f"{depth.lane.value}.{depth.model}"]}) for depth in status.queues
    )
    tenants, energy = await heaviest(store, tenant=tenant), await of_fleet(store)
    if energy is not None and (energy.energy_simulated or _has_simulated(status)):
        energy = energy.model_copy(update={"energy_simulated": True})
        tenants = tuple(load.model_copy(update={"energy_simulated": True}) for load in tenants)
    more = {"tenants": tenants, "energy": energy, "hosts": await hosts(store), "drained": await drained(store)}
    return status.model_copy(update={"queues": queues, **more})


def _has_simulated(status: FleetStatus) -> bool:
    return any(card.name.startswith(SIMULATED) for worker in status.workers for card in worker.card.cards)
