"""Checks of this host: who can get in, and where things lie. Each is pure."""

from __future__ import annotations

from collections.abc import Callable

from viiwork.doctor.facts import DoorFacts, HostFacts
from viiwork.doctor.finding import GIB, MIB, Finding, fail, in_units, ok, warn

LOW_DISK, NO_DISK = 0.10, 0.02
LOW_DISK_BYTES, NO_DISK_BYTES = 5 * GIB, 512 * MIB
VOLATILE = frozenset({"tmpfs", "ramfs"})
SHARED = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"})


def redis_door(door: DoorFacts) -> Finding:
    """Whoever reaches Redis owns every document."""
    if door.redis != "network":
        return ok("Redis access", {"unix": "a socket"}.get(door.redis, "loopback"))
    if not door.redis_password:
        advice = "Set `requirepass` or an ACL user, and put it into redis.url."
        return fail("Redis access", "over the network without a password", advice)
    if not door.redis_tls:
        advice = "Use rediss://, or a network that nobody else can listen on."
        return warn("Redis access", "over the network in clear text", advice)
    return ok("Redis access", "over the network, with password and TLS")


def api_door(door: DoorFacts) -> Finding:
    """Whoever reaches the API may use it, unless it asks for keys: off loopback it does, or does not start."""
    if not door.api_loopback and not door.api_keys:
        found = f"listens on {door.api_host} without keys: it does not start"
        return fail("API access", found, "Leave api.keys at auto, or bind it to 127.0.0.1.")
    if door.api_keys and door.any_key is False:
        found = f"listens on {door.api_host} and asks for keys, and there is none: it does not start"
        return fail("API access", found, "viiwork keys create NAME --scope admin")
    if not door.api_loopback:
        advice = "Put a proxy with TLS before it, or let it listen where nobody else can: see docs/keys.md."
        return warn("API access", f"listens on {door.api_host}, with keys, in clear text", advice)
    return ok("API access", "loopback, with keys" if door.api_keys else "loopback")


def state_dir(host: HostFacts) -> Finding:
    """Documents, passwords and the server's data lie there: for its owner alone."""
    if not host.exists:
        return warn("State directory", f"{host.state_dir} is not there yet", "`viiwork up` makes it.")
    if not host.owned:
        return fail("State directory", f"{host.state_dir} belongs to another user", "Run as that user, or chown it.")
    if host.mode & 0o077:
        return fail("State directory", f"others may read it (mode {host.mode:04o})", f"chmod 700 {host.state_dir}")
    return ok("State directory", host.state_dir)


def disk(host: HostFacts) -> Finding:
    """Documents, large answers and the append-only file need room."""
    part = host.free_bytes / host.disk_bytes if host.disk_bytes else 1.0
    found = f"{in_units(host.free_bytes)} free ({part:.0%})"
    advice = "Free some, move the state directory, or look at `viiwork gc --dry-run`."
    if host.free_bytes < NO_DISK_BYTES or part < NO_DISK:
        return fail("Disk", found, advice)
    if host.free_bytes < host.min_free_bytes:
        found = f"{found}: no new work is taken below {in_units(host.min_free_bytes)}"
        return fail("Disk", found, f"{advice} Or lower api.min_free_bytes.")
    if host.free_bytes < LOW_DISK_BYTES or part < LOW_DISK:
        return warn("Disk", found, advice)
    return ok("Disk", found)


def blobs(host: HostFacts) -> Finding:
    """Documents and large answers are files; they must outlive a power cut."""
    if host.blob_error:
        return fail("Blob directory", f"cannot be written: {host.blob_error}", "Check the disk and its owner.")
    if host.blob_fs in VOLATILE:
        found = f"lies on {host.blob_fs}: a restart of the host loses every document"
        return fail("Blob directory", found, "Put the state directory on a disk.")
    if host.blobs_belong is False:
        advice = "Check redis.url and the state directory; `viiwork gc --adopt` says that they do belong together."
        return fail("Blob directory", "belongs to another Redis than this one", advice)
    if host.blob_fs in SHARED:
        advice = "Make sure that it is mounted with `hard` and that fsync reaches a disk."
        return warn("Blob directory", f"lies on {host.blob_fs}", advice)
    return ok("Blob directory", f"writable, on {host.blob_fs or 'a disk'}")


def kernel(host: HostFacts) -> Finding:
    """Two habits of Linux that Redis warns of itself when it starts."""
    if not host.runs_redis:
        return ok("Kernel", "Redis runs elsewhere")
    found, advice = [], []
    if host.huge_pages == "always":
        found.append("transparent huge pages make Redis stall when it forks")
        advice.append("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    if host.overcommit == 0:
        found.append("with vm.overcommit_memory 0 a rewrite of the append-only file may fail for want of memory")
        advice.append("sysctl vm.overcommit_memory=1")
    if found:
        return warn("Kernel", "; ".join(found), "; ".join(advice))
    return ok("Kernel", "as Redis likes it")


DOOR_CHECKS: tuple[Callable[[DoorFacts], Finding], ...] = (redis_door, api_door)
HOST_CHECKS: tuple[Callable[[HostFacts], Finding], ...] = (state_dir, disk, blobs, kernel)
