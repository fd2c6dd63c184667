"""API keys in Redis: made, looked up, rotated, revoked. Kept of a secret is its hash."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from viiwork.apikeys import (
    NAME_PATTERN,
    TENANT_PATTERN,
    USUAL_SCOPES,
    ApiKey,
    KeyShown,
    Scope,
    digest_of,
    hint_of,
    new_id,
    new_secret,
    same,
)
from viiwork.errors import Conflict, NotFound, UsageError
from viiwork.limits import NO_LIMITS, Limits
from viiwork.store.callbacks import as_hash, now_ms
from viiwork.store.connection import Connection
from viiwork.wire import as_json

OVERLAP_S = 86_400.0
"""How long the secret before a rotation is valid too, unless somebody says otherwise."""


@dataclass(frozen=True, slots=True)
class Held:
    """A key with the hashes of its secrets, as it stood at `now_ms` of Redis' clock."""

    key: ApiKey
    sha256: str
    before: str
    now_ms: int

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.key.expires_ms is not None and self.key.expires_ms <= self.now_ms

    def opens(self, digest: str) -> bool:
        """Whether this is the hash of its secret, or of the one before while that is valid. Both are compared."""
        two = self.key.two_until_ms is not None and self.now_ms < self.key.two_until_ms
        return same(digest, self.sha256) | (same(digest, self.before) and two)


async def create(
    store: Connection,
    name: str,
    *,
    tenant: str = "",
    scopes: Sequence[Scope] = USUAL_SCOPES,
    expires_s: float | None = None,
    limits: Limits = NO_LIMITS,
    key_id: str = "",
) -> KeyShown:
    """A new key of a tenant (by default one of its own name). Raises UsageError, Conflict for a name in use."""
    tenant = tenant or name
    check_names(name, tenant)
    key_id = key_id or new_id()
    secret = new_secret(key_id)
    fields = {
        "tenant": tenant,
        "scopes": " ".join(dict.fromkeys(scopes)),
        "sha256": digest_of(secret),
        "hint": hint_of(secret),
        "limits": as_json(limits),
    }
    for_ms = max(1, int(expires_s * 1000)) if expires_s else 0
    flat = [part for pair in fields.items() for part in pair]
    if not await store.call("apikey", "create", key_id, name, for_ms, *flat):
        hint = "Rotate it, revoke it first, or choose another name."
        raise Conflict(f"There is a key {name} already.", hint=hint, code="exists", param="name")
    return KeyShown(secret=secret, key=await find(store, key_id))


async def rotate(store: Connection, key: ApiKey, *, overlap_s: float = OVERLAP_S, unseen: bool = False) -> KeyShown:
    """A new secret for a key; the one before is valid for `overlap_s` more. Raises NotFound.

    `unseen` says that nobody ever saw the last one: it alone is replaced.
    """
    secret = new_secret(key.id)
    said = (digest_of(secret), hint_of(secret), int(overlap_s * 1000), int(unseen))
    if not await store.call("apikey", "rotate", key.id, *said):
        raise missing()
    return KeyShown(secret=secret, key=await find(store, key.id))


async def limit(store: Connection, key: ApiKey, limits: Limits) -> ApiKey:
    """The key with other limits; every process of the API heeds them within a second. Raises NotFound."""
    if not await store.call("apikey", "limits", key.id, as_json(limits)):
        raise missing()
    return await find(store, key.id)


async def revoke(store: Connection, key: ApiKey) -> None:
    """Let it open nothing any more. Raises NotFound."""
    if not await store.call("apikey", "revoke", key.id):
        raise missing()


async def every(store: Connection) -> tuple[ApiKey, ...]:
    """All keys, by name."""
    (names,) = await store.read([("HGETALL", f"{store.prefix}apikeys")])
    known = as_hash(names)
    found = await store.read([("HGETALL", _record(store, one)) for one in known.values()]) if known else []
    now = await now_ms(store)
    keys = [_key(one, record, now) for one, raw in zip(known.values(), found, strict=True) if (record := as_hash(raw))]
    return tuple(sorted(keys, key=lambda key: key.name))


async def find(store: Connection, name_or_id: str) -> ApiKey:
    """One key by its name or id. Raises NotFound."""
    (by_name,) = await store.read([("HGET", f"{store.prefix}apikeys", name_or_id)])
    held = await held_by(store, by_name or name_or_id)
    if held is None:
        raise missing()
    return held.key


async def held_by(store: Connection, key_id: str) -> Held | None:
    """The key of this id with its hashes; None where there is none."""
    raw, (seconds, micros) = await store.read([("HGETALL", _record(store, key_id)), ("TIME",)])
    record, now = as_hash(raw), int(seconds) * 1000 + int(micros) // 1000
    return Held(_key(key_id, record, now), record["sha256"], record.get("before", ""), now) if record else None


async def any_there(store: Connection) -> bool:
    """Whether there is any key at all."""
    (count,) = await store.read([("HLEN", f"{store.prefix}apikeys")])
    return bool(int(count))


def check_names(name: str, tenant: str) -> None:
    """Raises UsageError."""
    if not re.fullmatch(NAME_PATTERN, name) or name.startswith("key_"):
        message = "name: has letters, digits, '.', '_' and '-', 64 at most, and does not begin with key_."
        raise UsageError(message, param="name")
    if not re.fullmatch(TENANT_PATTERN, tenant):
        message = "tenant: has letters, digits and any of . _ @ + -, 128 at most."
        raise UsageError(message, param="tenant")


def missing() -> NotFound:
    """Of a key that is not there."""
    return NotFound("There is no such API key.", hint="See `viiwork keys list`.")


def _record(store: Connection, key_id: str) -> str:
    return f"{store.prefix}apikey:{key_id}"


def _key(key_id: str, record: Mapping[str, str], now: int) -> ApiKey:
    two_until_ms = int(record.get("two_until_ms") or 0)
    return ApiKey(
        id=key_id,
        name=record["name"],
        tenant=record["tenant"],
        scopes=tuple(Scope(one) for one in record["scopes"].split()),
        created_ms=int(record["created_ms"]),
        expires_ms=int(record["expires_ms"]) if record.get("expires_ms") else None,
        hint=record.get("hint", ""),
        two_until_ms=two_until_ms if two_until_ms > now else None,
        limits=Limits.model_validate_json(record.get("limits") or "{}"),
    )
