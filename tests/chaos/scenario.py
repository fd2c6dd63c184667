"""One run: load, a fault in the middle of it, the end of all jobs, the accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from tests.chaos.audit import Audit, audit
from tests.chaos.faults.poison import Poison
from tests.chaos.load import Load, Volume
from tests.chaos.stage import Stage
from tests.chaos.table import Row
from tests.chaos.wounds import Recovery
from tests.workers import eventually


class Fault(Protocol):
    """Something that goes wrong."""

    @property
    def name(self) -> str:
        """As the table has it."""

    async def strike(self, stage: Stage, load: Load) -> None:
        """Do it, to the end: what was stopped or killed lives again afterwards. Notes in `stage.wounds` what it hit."""


async def play(fault: Fault, stage: Stage, volume: Volume, *, within_s: float = 300.0) -> Row:
    """Run it. Raises AssertionError with everything that is wrong afterwards."""
    stage.set_out()
    try:
        async with asyncio.timeout(within_s):
            load = await under_load(fault, stage, volume)
            await eventually(lambda: settled(stage), within_s=within_s, what="every job at its end")
            accounts, recovery = await audit(stage, load), await stage.wounds.recovery(stage.store)
            row = row_of(fault, stage, accounts, recovery, wait_s=await longest_wait_s(stage, load))
    finally:
        await stage.tidy()
    poisoned = int(isinstance(fault, Poison))
    wanted = Counter(succeeded=accounts.jobs - poisoned) + Counter(dead=poisoned)
    assert (accounts.states, accounts.lost, accounts.doubled, accounts.problems) == (wanted, 0, 0, ()), accounts
    return row


async def under_load(fault: Fault, stage: Stage, volume: Volume) -> Load:
    """The fault, struck while the fleet has all that it can do; answers what was submitted."""
    load = Load(stage.store, volume)
    await stage.joined(*stage.names)
    await load.submit([fault.job(load)] if isinstance(fault, Poison) else [])
    with load.kept_up():
        await stage.busy(*stage.names, jobs=1)
        await fault.strike(stage, load)
    await load.finished()
    return load


async def settled(stage: Stage) -> bool:
    return await stage.open_jobs() == 0


async def longest_wait_s(stage: Stage, load: Load) -> float | None:
    """How long the interactive job that waited longest waited for its start, after it was taken in."""
    fields = ("created_ms", "started_ms")
    records = [("HMGET", f"{stage.store.prefix}job:{job}", *fields) for job in load.interactive]
    waits = [int(start or 0) - int(made or 0) for made, start in await stage.store.read(records)] if records else []
    return max(waits) / 1000 if waits else None


def row_of(fault: Fault, stage: Stage, accounts: Audit, recovery: Recovery, *, wait_s: float | None) -> Row:
    return Row(
        fault=fault.name,
        workers=len(stage.names),
        jobs=accounts.jobs,
        hurt=recovery.hurt,
        again=len(recovery.seconds),
        recovery_p50_s=recovery.p50_s,
        recovery_max_s=recovery.max_s,
        longest_wait_s=wait_s,
        lost=accounts.lost,
        doubled=accounts.doubled,
        notice=stage.notice,
    )
