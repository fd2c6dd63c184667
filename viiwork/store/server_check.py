"""Whether the Redis we were given is one the store can work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, NoPermissionError, RedisError

from viiwork.errors import StoreUnavailable
from viiwork.store.endpoint import is_refusal, safe_address

OLDEST = (7, 0)
"""`#!lua flags=allow-oom` and multi-part AOF came with Redis 7.0."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself; `concerns` are sentences about what it may lose or throw away."""

    kind: str
    version: str
    aof: bool
    waits_for_aof: bool
    """True where `WAITAOF` can confirm that a write is on disk (Redis >= 7.2, Valkey)."""
    concerns: tuple[str, ...] = ()


async def check_server(client: Redis, *, url: str = "") -> ServerFacts:
    """Ask the server what it is. Raises StoreUnavailable, in one line without a password.

    Raised for a server that does not answer, is older than 7.0, or is a node of a Redis Cluster.
    """
    try:
        info: dict[str, Any] = await client.info()
    except (RedisError, OSError, EOFError) as error:
        raise explain(error, url) from error
    return judge(info)


def judge(info: dict[str, Any]) -> ServerFacts:
    """The verdict on a server's INFO. Raises StoreUnavailable."""
    kind = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    spoken = version_tuple(str(info.get("redis_version", "0")))
    if int(info.get("cluster_enabled", 0)):
        raise StoreUnavailable(
            "This Redis is a node of a Redis Cluster, which VIIWork does not support.",
            hint="Give a single server or a sentinel:// address in redis.url.",
        )
    if spoken < OLDEST:
        raise StoreUnavailable(f"{kind} {version} is too old.", hint="VIIWork needs Redis 7.0 or newer, or Valkey.")
    return ServerFacts(
        kind=kind,
        version=version,
        aof=bool(int(info.get("aof_enabled", 0))),
        waits_for_aof=spoken >= (7, 2),
        concerns=_concerns(info),
    )


def _concerns(info: dict[str, Any]) -> tuple[str, ...]:
    found = []
    if not int(info.get("aof_enabled", 0)):
        found.append("Redis keeps no append-only file: a crash of the server loses jobs. Set `appendonly yes`.")
    if str(info.get("maxmemory_policy", "noeviction")) != "noeviction":
        found.append("Redis may evict jobs and results when it is full. Set `maxmemory-policy noeviction`.")
    return tuple(found)


def explain(error: BaseException, url: str = "") -> StoreUnavailable:
    """A client's error as one sentence that says what to do, and that never holds the password."""
    where = f" at {safe_address(url)}" if url else ""
    if is_refusal(error):
        return StoreUnavailable(f"Redis{where} refuses the user or password.", hint="Check redis.url.")
    if isinstance(error, NoPermissionError):
        return StoreUnavailable(f"Redis{where} does not let this user do what VIIWork needs.", hint="Check its ACL.")
    if isinstance(error, BusyLoadingError):
        return StoreUnavailable(f"Redis{where} is still loading its data.", hint="Try again in a moment.")
    return StoreUnavailable(f"Redis does not answer{where}.", hint="Start it, or check redis.url.")


def version_tuple(text: str) -> tuple[int, int]:
    """(major, minor) of `7.0.15`; (0, 0) for what is no version."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor) if minor.isdigit() else 0) if major.isdigit() else (0, 0)
