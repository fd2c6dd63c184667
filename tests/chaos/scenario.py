"""One run: load, a fault in the middle of it, the end of all jobs, the accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from tests.chaos.audit import Audit, audit
from tests.chaos.load import Load, Volume
from tests.chaos.stage import Stage
from tests.chaos.table import Row
from tests.chaos.wounds import Recovery
from tests.workers import eventually
from viiwork.jobs import Job


class Fault(Protocol):
    """Something that goes wrong."""

    @property
    def name(self) -> str:
        """As the table has it."""

    async def strike(self, stage: Stage, load: Load) -> None:
        """Do it, to the end: what was stopped or killed lives again afterwards. Notes in `stage.wounds` what it hit."""


async def play(
    fault: Fault,
    stage: Stage,
    volume: Volume,
    *,
    extra: Sequence[Job] = (),
    ends: Counter[str] | None = None,
    within_s: float = 300.0,
) -> Row:
    """Run it. Raises AssertionError with everything that is wrong afterwards; `ends` are ends other than success."""
    stage.set_out()
    try:
        async with asyncio.timeout(within_s):
            load = Load(stage.store, volume)
            await stage.joined(*stage.names)
            await load.submit(extra)
            with load.kept_up():
                await stage.busy(*stage.names, jobs=1)
                await fault.strike(stage, load)
            await load.finished()
            await eventually(lambda: settled(stage), within_s=within_s, what="every job at its end")
            accounts, recovery = await audit(stage, load), await stage.wounds.recovery(stage.store)
    finally:
        await stage.tidy()
    row = row_of(fault, stage, accounts, recovery)
    wanted = Counter(succeeded=accounts.jobs - sum((ends or {}).values())) + (ends or Counter())
    assert (accounts.states, accounts.lost, accounts.doubled, accounts.problems) == (wanted, 0, 0, ()), row
    return row


async def settled(stage: Stage) -> bool:
    return sum(queue.waiting + queue.queued + queue.running for queue in (await stage.store.fleet()).queues) == 0


def row_of(fault: Fault, stage: Stage, accounts: Audit, recovery: Recovery) -> Row:
    return Row(
        fault=fault.name,
        workers=len(stage.names),
        jobs=accounts.jobs,
        hurt=recovery.hurt,
        again=len(recovery.seconds),
        recovery_p50_s=recovery.p50_s,
        recovery_max_s=recovery.max_s,
        lost=accounts.lost,
        doubled=accounts.doubled,
    )
