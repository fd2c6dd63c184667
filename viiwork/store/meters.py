"""What cards used, as the scripts have added it up: by worker, by tenant and for the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from viiwork.power.energy import Energy
from viiwork.roster import FleetEnergy
from viiwork.store.connection import Connection

MOST = 10**15
"""Millijoules or milliseconds that one life of a worker may tell of. Redis' counts end at 2^63."""
KINDS = ("jobs", "idle", "lost")
"""Charged to jobs; while no job was in flight; of attempts that no commit counts: they were the worker's no longer."""
Sums = Mapping[str, Mapping[str, int]]
"""Millijoules by kind and then by worker or tenant; of `unmeasured` milliseconds, of `unknown` jobs. `simulated` is 1
for a worker whose cards are."""


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """What a worker's cards have used since its start that no job is charged with. Whole numbers, which only grow."""

    idle_mj: int = 0
    lost_mj: int = 0
    unmeasured_ms: int = 0
    """Of a card whose power nobody told, whether jobs were in flight or not."""

    @classmethod
    def of(cls, *, idle: Energy, lost: Energy, unmeasured_s: float) -> Unclaimed:
        return cls(*(min(MOST, round(each * 1000)) for each in (idle.known_j, lost.known_j, unmeasured_s)))

    @property
    def told(self) -> str:
        """As a beat says it; empty where there is nothing, as of a worker without cards."""
        numbers = (self.idle_mj, self.lost_mj, self.unmeasured_ms)
        return " ".join(map(str, numbers)) if any(numbers) else ""


async def by_worker(store: Connection) -> Sums:
    """What the workers' cards used since the fleet's beginning."""
    return _sums(*await store.read([("HGETALL", f"{store.prefix}energy")]))


async def by_tenant(store: Connection) -> Sums:
    """`jobs` and `unknown` of each submitter; beyond the first thousand of them all together, as `(others)`."""
    return _sums(*await store.read([("HGETALL", f"{store.prefix}energy.tenants")]))


async def of_fleet(store: Connection) -> FleetEnergy | None:
    """All of it together; None before anybody has told of any."""
    sums = await by_worker(store)
    totals = {kind: sum(of.values()) for kind, of in sums.items()}
    if not totals:
        return None
    used = {kind: totals[kind] / 1000 for kind in KINDS if kind in totals}
    return FleetEnergy(
        energy_j=sum(used.values()) if used else None,
        jobs_j=used.get("jobs"),
        idle_j=used.get("idle"),
        lost_j=used.get("lost"),
        unmeasured_s=totals.get("unmeasured", 0) / 1000,
        energy_unknown_jobs=totals.get("unknown", 0),
        energy_simulated="simulated" in sums or None,
    )


def _sums(flat: Any) -> Sums:
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    found: dict[str, dict[str, int]] = {}
    for field, value in pairs:
        kind, _, whose = field.partition("|")
        found.setdefault(kind, {})[whose] = int(value)
    return found
