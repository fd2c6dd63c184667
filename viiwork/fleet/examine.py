"""Gathering what `viiwork doctor` judges: the settings, this host, Redis, and who is up."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psutil

from viiwork.api.gate import keys_on
from viiwork.api.pressure import Gauge
from viiwork.doctor import DoorFacts, Facts, FleetFacts, HostFacts, JoinedFacts
from viiwork.errors import Busy, Full, StoreUnavailable, ViiworkError
from viiwork.fleet.cardroom import cards_facts, simulated_facts
from viiwork.fleet.engineroom import engine_facts
from viiwork.fleet.joining import check_blobs, check_joinable, in_clear
from viiwork.fleet.machineroom import machine_facts
from viiwork.fleet.running import other_engine
from viiwork.jobs import READER_MODEL
from viiwork.roster import AWAITS_MODEL, AWAITS_SERVER, WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store, apikeys
from viiwork.store.blobdir import disk_now_s
from viiwork.store.embedded import locate
from viiwork.store.opening import make_store
from viiwork.store.pairing import Pairing
from viiwork.store.server_facts import gather, has_password, is_loopback, reach_of
from viiwork.telemetry import newest
from viiwork.wire import SCHEMA

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
TO_MEND = {
    AWAITS_SERVER: "Start that server, or give another --url (engine.url); the worker goes on by itself.",
    AWAITS_MODEL: "Have that server serve the model, or give another --model (engine.model).",
}
"""What a person can do, by what a worker says that it waits for."""


async def examine(settings: Settings) -> Facts:
    """All facts; those of Redis and the fleet are missing when Redis does not answer."""
    engine = replace(await asyncio.to_thread(engine_facts, settings, os.environ), running=other_engine(settings))
    cards = await asyncio.to_thread(cards_facts, settings, os.environ)
    facts = await _examine(settings)
    at_work = facts.fleet is not None and bool(facts.fleet.workers or facts.fleet.readers)
    machine = await asyncio.to_thread(machine_facts, settings, at_work=at_work)
    simulated = await asyncio.to_thread(simulated_facts, settings)
    cards = replace(cards, simulated=simulated is not None)
    return replace(facts, engine=engine, cards=cards, simulated=simulated, machine=machine)


async def _examine(settings: Settings) -> Facts:
    try:
        url = locate(settings)
    except StoreUnavailable as error:
        return Facts(door_facts(settings, ""), host_facts(settings, "", None), None, str(error), None)
    door = door_facts(settings, url)
    store = make_store(settings, url)
    try:
        redis = await gather(store.client, url=url)
        fleet = None if redis.cluster else await fleet_facts(store, settings)
        belong = None if redis.cluster or settings.joined else await _belong(store)
        joined = await joined_facts(settings, store) if settings.joined and not redis.cluster else None
        door = door if redis.cluster else replace(door, any_key=await apikeys.any_there(store))
    except StoreUnavailable as error:
        return Facts(door, host_facts(settings, door.redis, None), None, str(error), None)
    finally:
        await store.close()
    host = await asyncio.to_thread(host_facts, settings, door.redis, belong)
    return Facts(door, host, redis, "", fleet, joined=joined)


def door_facts(settings: Settings, url: str) -> DoorFacts:
    """Who can reach Redis (nobody, while no `up` runs one) and the API."""
    return DoorFacts(
        redis=reach_of(url) if url else "unix",
        redis_password=has_password(url) if url else True,
        redis_tls=url.startswith("rediss:"),
        api_host=settings.api.host,
        api_loopback=is_loopback(settings.api.host),
        api_keys=keys_on(settings.api),
    )


def host_facts(settings: Settings, reach: str, belong: bool | None) -> HostFacts:
    """The state directory and the kernel."""
    root = settings.state_dir
    there = root if root.exists() else _nearest(root)
    blobs = settings.blobs_dir
    disks = [shutil.disk_usage(place) for place in {there, blobs if blobs.exists() else there}]
    usage, status = min(disks, key=lambda disk: disk.free), there.stat()
    exists = root.is_dir()
    return HostFacts(
        state_dir=str(root),
        exists=exists,
        mode=stat.S_IMODE(status.st_mode) if exists else 0o700,
        owned=not exists or os.getuid() in (0, status.st_uid),
        free_bytes=usage.free,
        disk_bytes=usage.total,
        min_free_bytes=settings.api.min_free_bytes,
        blob_error=_blob_error(blobs) if exists else "",
        blob_fs=_file_system(blobs if exists else there),
        blobs_belong=belong,
        runs_redis=reach != "network",
        huge_pages=_chosen(_line(HUGE_PAGES)),
        overcommit=int(_line(OVERCOMMIT)) if _line(OVERCOMMIT).isdigit() else None,
    )


async def joined_facts(settings: Settings, store: Store) -> JoinedFacts:
    """Whether the head's documents can be reached from here, as `up` would find."""
    url, error = settings.blobs.url or "", None
    try:
        check_joinable(settings)
        await check_blobs(settings, store, tidy=False)
    except ViiworkError as found:
        error = found
    return JoinedFacts(url=url, error=error, in_clear=in_clear(url))


async def fleet_facts(store: Store, settings: Settings) -> FleetFacts:
    """Who is up and what waits. Raises StoreUnavailable."""
    status = await store.fleet()
    (dead,) = await store.read([("ZCARD", f"{store.prefix}dead")])
    waiting: Counter[str] = Counter()
    for depth in status.queues:
        if depth.model != READER_MODEL:
            waiting[depth.model] += depth.waiting + depth.queued
    workers = newest(status.workers)
    cards = [worker.card for worker in workers]
    held = {
        worker.card.name: why
        for worker in workers
        if (why := held_back(worker.card, quarantined=bool(worker.quarantine)))
    }
    waits = {said: {name for name, why in held.items() if said in why} for said in TO_MEND}
    return FleetFacts(
        workers=Counter(card.model for card in cards if card.model != READER_MODEL),
        held_back=held,
        to_mend=tuple(TO_MEND[said] for said, names in waits.items() if names),
        unexplained=held.keys() != set().union(*waits.values()),
        readers=sum(card.model == READER_MODEL for card in cards),
        waiting=waiting,
        dead=int(dead),
        closing=status.closing,
        refusal=await _refusal(store, settings),
        schema=SCHEMA,
        schemas=frozenset(card.schema_version for card in cards),
        versions=component_versions(),
    )


def held_back(card: WorkerCard, *, quarantined: bool) -> str:
    """Why a worker takes less than it could through no load of its own, such as `0 of 2 slots: …`; empty if it does."""
    if not quarantined and card.engine_state in ("", "ready"):
        return ""
    why = "it is quarantined" if quarantined else f"its engine is {card.engine_state}"
    return f"{card.slots if card.limit is None else card.limit} of {card.slots} slots: {why}"


def component_versions() -> str:
    """`viiwork 0.1.0, Python 3.11.7, celery 5.7.0, …`."""
    parts = [f"{name} {version(name)}" for name in ("celery", "kombu", "redis")]
    return ", ".join([f"viiwork {version('viiwork')}", f"Python {platform.python_version()}", *parts])


async def _refusal(store: Store, settings: Settings) -> ViiworkError | None:
    """What a submit would be refused with for want of room; on a computer that joined, Redis' alone is known."""
    if settings.joined:
        return None
    try:
        await Gauge(store, min_free_bytes=settings.api.min_free_bytes).check()
    except (Busy, Full) as error:
        return error
    return None


async def _belong(store: Store) -> bool | None:
    here, there = await Pairing(store, store.directory.root).read()
    return None if not here and not there else here == there


def _blob_error(root: Path) -> str:
    """Why nothing can be written there; the directory is made by the first document."""
    if not root.exists():
        return "" if os.access(root.parent, os.W_OK) else "its parent is not writable"
    try:
        disk_now_s(root)
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""


def _file_system(path: Path) -> str:
    """The type of the file system that `path` is on; empty when the system does not tell."""
    place, best, found = str(path.resolve()), "", ""
    with suppress(OSError):
        for mount in psutil.disk_partitions(all=True):
            under = place == mount.mountpoint or place.startswith(mount.mountpoint.rstrip("/") + "/")
            if under and len(mount.mountpoint) >= len(best):
                best, found = mount.mountpoint, mount.fstype
    return found


def _nearest(path: Path) -> Path:
    return next(parent for parent in path.absolute().parents if parent.exists())


def _chosen(line: str) -> str:
    """`always [madvise] never` is madvise."""
    return line.partition("[")[2].partition("]")[0]


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
