"""Checks of the Redis server. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import RedisFacts
from viiwork.doctor.finding import Finding, fail, in_units, ok, warn

BUSY, FULL = 0.80, 0.95
"""Of Redis' memory: from here on new work is held off, or refused altogether."""
SKEW_S = 2.0


def version(redis: RedisFacts) -> Finding:
    """A single server, 7.0 or newer."""
    if redis.cluster:
        return fail("Redis version", "a Redis Cluster", "Give a single server or sentinels in redis.url.")
    if redis.speaks < (7, 0):
        return fail("Redis version", f"{redis.kind} {redis.version} is too old", "Use Redis 7.0 or newer, or Valkey.")
    return ok("Redis version", f"{redis.kind} {redis.version}")


def role(redis: RedisFacts) -> Finding:
    """A replica takes no writes; a master with replicas may fail over and lose what they do not have yet."""
    if redis.replica:
        return fail("Redis role", "a replica, which takes no writes", "Give the master, or sentinels, in redis.url.")
    if (redis.replicas or redis.sentinel) and redis.min_replicas == 0:
        return warn(
            "Redis role",
            f"a master with {redis.replicas} replicas, which it does not wait for",
            "A failover may lose the last acknowledged second. Set `min-replicas-to-write 1` to bound that.",
        )
    return ok("Redis role", "master")


def append_only(redis: RedisFacts) -> Finding:
    """Without an append-only file a crash of the server loses jobs."""
    if not redis.aof:
        return fail("Append-only file", "off: a crash of Redis loses jobs", "Set `appendonly yes`.")
    return ok("Append-only file", "on")


def synced(redis: RedisFacts) -> Finding:
    """How often the append-only file is synced to the disk."""
    if not redis.aof:
        return warn("appendfsync", "of no use without an append-only file", "Set `appendonly yes`.")
    if redis.fsync is None:
        return warn("appendfsync", "the server does not tell", "Allow `CONFIG GET`, or make sure of it yourself.")
    if redis.fsync == "no":
        advice = "Set `appendfsync everysec`."
        return warn("appendfsync", "no: a power cut may lose half a minute of accepted work", advice)
    return ok("appendfsync", redis.fsync)


def confirmed(redis: RedisFacts) -> Finding:
    """Whether a submit can wait until its jobs are on the disk."""
    if not redis.waits_for_aof:
        found = f"{redis.kind} {redis.version} has no WAITAOF: a power cut may lose the last second of accepted work"
        return warn("Confirmed writes", found, "Use Redis 7.2 or newer, or Valkey.")
    if not redis.aof:
        return warn("Confirmed writes", "there is no append-only file to wait for", "Set `appendonly yes`.")
    return ok("Confirmed writes", "WAITAOF")


def persisting(redis: RedisFacts) -> Finding:
    """Whether the server could write its files when it last tried."""
    broken = [
        name
        for name, fine in (
            ("the append-only file", redis.aof_write_ok),
            ("the rewrite of the append-only file", redis.aof_rewrite_ok),
            ("the snapshot", redis.snapshot_ok),
        )
        if not fine
    ]
    if broken:
        found = f"could not write {' and '.join(broken)} last time"
        return fail(
            "Redis' files", found, "Look at its log and its disk; once it has room again, send it BGREWRITEAOF."
        )
    return ok("Redis' files", "the last writes went well")


def eviction(redis: RedisFacts) -> Finding:
    """An evicting server throws jobs away when it is full."""
    if redis.eviction != "noeviction":
        found = f"{redis.eviction}: jobs are thrown away when Redis is full"
        return fail("Eviction", found, "Set `maxmemory-policy noeviction`.")
    return ok("Eviction", "noeviction")


def memory(redis: RedisFacts) -> Finding:
    """A server without a limit is killed by the system when it has eaten the RAM."""
    if not redis.limit_bytes:
        return warn("Redis memory", f"{in_units(redis.used_bytes)} used, no limit", "Set `maxmemory`.")
    part = redis.used_bytes / redis.limit_bytes
    found = f"{part:.0%} of {in_units(redis.limit_bytes)} used"
    advice = "Give it more memory (redis.max_memory_bytes, `maxmemory`), or keep results for less time."
    if part >= FULL:
        return fail("Redis memory", f"{found}: new work is refused", advice)
    return warn("Redis memory", f"{found}: new work is held off", advice) if part >= BUSY else ok("Redis memory", found)


def clock(redis: RedisFacts) -> Finding:
    """Jobs go by Redis' clock alone; people read the dates by this host's."""
    found = f"Redis is {abs(redis.skew_s):.1f} s {'ahead of' if redis.skew_s > 0 else 'behind'} this host"
    if abs(redis.skew_s) > SKEW_S:
        return warn("Clocks", found, "Run a time service (chrony, systemd-timesyncd) on both.")
    return ok("Clocks", "Redis and this host agree")


CHECKS: tuple[Callable[[RedisFacts], Finding], ...] = (
    version,
    role,
    append_only,
    synced,
    confirmed,
    persisting,
    eviction,
    memory,
    clock,
)
