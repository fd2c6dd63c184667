"""Who is told of events, and what signs for them: sealed secrets of endpoints, and of submitters.

A submitter's own secret signs for the URLs that come with requests; its record's owner is `tenant:<name>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from viiwork.deliveries import Endpoint
from viiwork.errors import Conflict
from viiwork.store.callbacks import as_hash
from viiwork.store.connection import Connection

MOST_OF_ONE = 20
"""Endpoints a submitter may have."""
MOST_OF_ALL = 200
"""In the fleet: each event is held against all of them, in the script that ends the work."""


@dataclass(frozen=True, slots=True)
class SealedPair:
    """The secret that signs, and the one before it, which signs too until `two_until_ms`. Both sealed."""

    secret: str
    before: str = ""
    two_until_ms: int = 0

    def after(self, fresh: str, *, until_ms: int) -> SealedPair:
        """With a new secret; this one signs on until then, 0 ends it at once."""
        return SealedPair(fresh, self.secret, until_ms) if until_ms else SealedPair(fresh)

    def at(self, moment_ms: int) -> tuple[str, ...]:
        """Those that sign at this moment, the new one first."""
        return (self.secret, self.before) if self.before and moment_ms < self.two_until_ms else (self.secret,)

    def fields(self) -> tuple[str, ...]:
        """As a record has them."""
        return ("secret", self.secret, "before", self.before, "two_until_ms", str(self.two_until_ms))


def tenant_owner(tenant: str) -> str:
    """What a submitter's own secret is kept under."""
    return f"tenant:{tenant}"


async def add(store: Connection, endpoint: Endpoint, pair: SealedPair) -> Endpoint:
    """Tell this endpoint from now on; one that is there already is left as it is. Answers it as it is kept.

    Raises Conflict where its tenant has one of this URL, or there are as many as there may be.
    """
    fields = ("events", " ".join(endpoint.events), *pair.fields())
    said = await store.call("endpoint", endpoint.id, endpoint.tenant, endpoint.url, MOST_OF_ONE, MOST_OF_ALL, *fields)
    if said == "exists":
        hint = "Rotate its secret, or remove it first."
        raise Conflict("url: there is an endpoint of this URL already.", hint=hint, code="exists", param="url")
    if said == "full":
        limit = f"{MOST_OF_ONE} for a submitter, {MOST_OF_ALL} in all"
        raise Conflict(f"There are as many endpoints as there may be: {limit}.", code="too_many")
    return await find(store, endpoint.id) or endpoint


async def find(store: Connection, endpoint_id: str) -> Endpoint | None:
    """One endpoint."""
    (found,) = await store.read([("HGETALL", _key(store, endpoint_id))])
    record = as_hash(found)
    return _endpoint(endpoint_id, record) if record.get("url") else None


async def every(store: Connection) -> tuple[Endpoint, ...]:
    """All of them, the oldest first."""
    (ids,) = await store.read([("SMEMBERS", f"{store.prefix}endpoints")])
    found = await store.read([("HGETALL", _key(store, each)) for each in ids]) if ids else []
    pairs = ((one, as_hash(record)) for one, record in zip(ids, found, strict=True))
    known = (_endpoint(one, record) for one, record in pairs if record.get("url"))
    return tuple(sorted(known, key=lambda each: (each.created_ms, each.id)))


async def remove(store: Connection, endpoint_id: str) -> None:
    """Tell it nothing more; what is on its way to it is given up when its turn comes."""
    await store.read([("SREM", f"{store.prefix}endpoints", endpoint_id), ("DEL", _key(store, endpoint_id))])


async def pair_of(store: Connection, owner: str) -> SealedPair | None:
    """What signs for an endpoint, or for `tenant_owner(…)`; None where there is nothing."""
    (found,) = await store.read([("HMGET", _key(store, owner), "secret", "before", "two_until_ms")])
    secret, before, two_until_ms = found
    return SealedPair(secret, before or "", int(two_until_ms or 0)) if secret else None


async def put_pair(store: Connection, owner: str, pair: SealedPair) -> None:
    """Sign with these from now on."""
    await store.read([("HSET", _key(store, owner), *pair.fields())])


def _key(store: Connection, owner: str) -> str:
    return f"{store.prefix}endpoint:{owner}"


def _endpoint(endpoint_id: str, record: Mapping[str, str]) -> Endpoint:
    two_until_ms = int(record.get("two_until_ms") or 0)
    return Endpoint(
        id=endpoint_id,
        url=record["url"],
        tenant=record.get("tenant", ""),
        events=tuple(record.get("events", "").split()),
        created_ms=int(record.get("created_ms") or 0),
        two_until_ms=two_until_ms or None,
    )
