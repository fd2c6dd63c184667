"""What a Redis server says of itself, gathered for a diagnosis."""

from __future__ import annotations

import ipaddress
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from viiwork.doctor import RedisFacts
from viiwork.store.endpoint import parse_sentinel
from viiwork.store.server_check import explain, version_tuple

TOLD = ("appendfsync", "min-replicas-to-write")


async def gather(client: Redis, *, url: str) -> RedisFacts:
    """Ask the server. Raises StoreUnavailable when it does not answer."""
    try:
        info: dict[str, Any] = await client.info()
        before_s = time.time()
        seconds, micros = await client.time()
        skew_s = skew(seconds + micros / 1_000_000, before_s, time.time())
    except (RedisError, OSError, EOFError) as error:
        raise explain(error, url) from error
    return facts_of(info, await _configuration(client), skew_s=skew_s, sentinel=url.startswith("sentinel:"))


def skew(server_s: float, before_s: float, after_s: float) -> float:
    """What is certain of how far its clock is ahead: it answered at some moment between these two. Pure."""
    return server_s - min(max(server_s, before_s), after_s)


async def _configuration(client: Redis) -> dict[str, str]:
    """The settings that INFO leaves out; none where the server's rules forbid the question."""
    try:
        return {str(key): str(value) for key, value in (await client.config_get(*TOLD)).items()}
    except RedisError:
        return {}


def facts_of(info: dict[str, Any], told: dict[str, str], *, skew_s: float, sentinel: bool) -> RedisFacts:
    """INFO and CONFIG as facts."""
    return RedisFacts(
        kind="Valkey" if "valkey_version" in info else "Redis",
        version=str(info.get("valkey_version") or info.get("redis_version") or "0"),
        speaks=version_tuple(str(info.get("redis_version", "0"))),
        cluster=bool(int(info.get("cluster_enabled", 0))),
        replica=str(info.get("role", "master")) != "master",
        replicas=int(info.get("connected_slaves", 0)),
        sentinel=sentinel,
        min_replicas=int(told["min-replicas-to-write"]) if told.get("min-replicas-to-write") else None,
        aof=bool(int(info.get("aof_enabled", 0))),
        fsync=told.get("appendfsync"),
        eviction=str(info.get("maxmemory_policy", "noeviction")),
        limit_bytes=int(info.get("maxmemory", 0)),
        used_bytes=int(info.get("used_memory", 0)),
        aof_write_ok=str(info.get("aof_last_write_status", "ok")) == "ok",
        aof_rewrite_ok=str(info.get("aof_last_bgrewrite_status", "ok")) == "ok",
        snapshot_ok=str(info.get("rdb_last_bgsave_status", "ok")) == "ok",
        skew_s=skew_s,
    )


def reach_of(url: str) -> str:
    """Where a server is: `unix`, `loopback` or `network`. Takes a URL in redis-py's form."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return "unix"
    hosts = [host for host, _ in parse_sentinel(url).hosts] if parts.scheme == "sentinel" else [parts.hostname]
    return "loopback" if all(is_loopback(host or "localhost") for host in hosts) else "network"


def has_password(url: str) -> bool:
    """Whether the URL brings a password."""
    if url.startswith("sentinel:"):
        return bool(parse_sentinel(url).password)
    parts = urlsplit(url)
    return bool(parts.password or dict(parse_qsl(parts.query)).get("password"))


def is_loopback(host: str) -> bool:
    """Whether nobody else's computer can reach a service that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
