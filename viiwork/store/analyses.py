"""Analyses as a list, the newest first, page after page: exact whatever is made or goes meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from viiwork.jobs import BatchState, BatchStatus
from viiwork.outcomes import AnalysisPage
from viiwork.store.callbacks import as_hash, now_ms
from viiwork.store.connection import Connection
from viiwork.store.records import batch_status_of

LOOKED_AT = 1000
"""Records that one call looks through at most: a rare state among many analyses takes several."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which analyses; what says nothing holds for all."""

    states: frozenset[BatchState] = frozenset()
    tenant: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def holds(self, status: BatchStatus) -> bool:
        """Whether this is one of them."""
        if self.states and status.state not in self.states:
            return False
        if self.tenant and status.tenant != self.tenant:
            return False
        return self.metadata.items() <= status.metadata.items()


async def listed(store: Connection, wanted: Wanted, *, after: int | None, limit: int) -> AnalysisPage:
    """A page of them, from behind the number `after` on.

    Each has a number of its own, in the order of their making: what is made meanwhile has a higher one than all that
    are still to come.
    """
    found: list[BatchStatus] = []
    looked, now = 0, await now_ms(store)
    while looked < LOOKED_AT:
        page = await _page(store, after, wanted.tenant)
        if not page:
            return AnalysisPage(analyses=tuple(found))
        for number, status in page:
            after, looked = number, looked + 1
            if status is not None and not _over(status, now) and wanted.holds(status):
                found.append(status)
            if len(found) == limit:
                more = await _ids(store, after, wanted.tenant, most=1)
                return AnalysisPage(analyses=tuple(found), after=after if more else None)
    return AnalysisPage(analyses=tuple(found), after=after)


async def _page(store: Connection, after: int | None, tenant: str) -> Sequence[tuple[int, BatchStatus | None]]:
    """The next ones with their numbers; None for one that is deleted. Empty at the end."""
    ids = await _ids(store, after, tenant, most=PAGE)
    if not ids:
        return ()
    keys = [f"{store.prefix}batch:{one}" for one in ids]
    numbers = await store.read(("ZSCORE", f"{store.prefix}batches", one) for one in ids)
    records = [as_hash(raw) for raw in await store.read(("HGETALL", key) for key in keys)]
    suspects = await store.read(("SCARD", f"{key}:suspected") for key in keys)
    told = zip(ids, numbers, records, suspects, strict=True)
    # One that was cleared away just now has neither number nor record: those behind it are found all the same.
    known = [(int(float(number)), one, record, int(held)) for one, number, record, held in told if number is not None]
    if not known:
        return await _page(store, after, tenant)
    return [(number, _status(one, record, held)) for number, one, record, held in known]


async def _ids(store: Connection, after: int | None, tenant: str, *, most: int) -> Sequence[str]:
    """The next ones in the list of a tenant and then, from before there were such lists, in that of all."""
    if not tenant:
        return await _below(store, "batches", after, most)
    if ids := await _below(store, f"batches.t:{tenant}", after, most):
        return ids
    (since,) = await store.read([("GET", f"{store.prefix}batches.t")])
    first = None if since is None else int(since)
    older = min((one for one in (after, first) if one is not None), default=None)
    return await _below(store, "batches", older, most)


async def _below(store: Connection, name: str, after: int | None, most: int) -> Sequence[str]:
    top = "+inf" if after is None else f"({after}"
    command = ("ZREVRANGEBYSCORE", f"{store.prefix}{name}", top, "-inf", "LIMIT", "0", str(most))
    (ids,) = await store.read([command])
    found: Sequence[str] = ids
    return found


def _status(batch_id: str, record: Mapping[str, str], suspects: int) -> BatchStatus | None:
    if not record.get("state") or record.get("removed"):
        return None
    return batch_status_of(batch_id, record, suspects=suspects)


def _over(status: BatchStatus, now: int) -> bool:
    return bool(status.expires_ms and status.expires_ms <= now)
