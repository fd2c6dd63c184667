"""Faults between workers and Redis: connections reset, packets lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.workers import drop_connections, eventually
from viiwork.jobs import TERMINAL


@dataclass(frozen=True, slots=True)
class Dropped:
    """Every connection to the server reset at once, again and again: nothing is run twice for that, and no worker takes
    more than it has slots.
    """

    times: int = 5
    name: str = "all Redis connections dropped"

    async def strike(self, stage: Stage, load: Load) -> None:
        """With long leases: one that ran out on a busy machine would have its jobs run again, and rightly."""
        await anew(stage, VIIWORK_QUEUE_LEASE_TTL_S="120")
        for _ in range(self.times):
            await stage.busy(*stage.names)
            await stage.note()
            await drop_connections(stage.store, sparing=set())
            await asyncio.sleep(0.5)
            for name in stage.names:
                held = await stage.held(await stage.incarnation(name))
                assert len(held) <= stage.slots, f"{name} holds {len(held)} jobs with {stage.slots} slots"
        await eventually(lambda: over(stage), within_s=60, what="the jobs that ran then at their end")
        again = (await stage.wounds.recovery(stage.store)).seconds
        assert again == (), f"{len(again)} jobs were started again"
        await anew(stage)


async def anew(stage: Stage, **environ: str) -> None:
    """All workers stopped in order and started again, with these variables."""
    stage.fleet.terminate(*stage.names)
    codes = [await asyncio.to_thread(stage.fleet.bury, name) for name in stage.names]
    assert codes == [0] * len(stage.names), codes
    for name in stage.names:
        stage.start(name, environ=environ)
    await stage.joined(*stage.names)


async def over(stage: Stage) -> bool:
    """Whether all that was noted has ended."""
    jobs = [f"{stage.store.prefix}job:{wound.job}" for wound in stage.wounds.all]
    return all(state in TERMINAL for state in await stage.store.read([("HGET", job, "state") for job in jobs]))


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing passes between some workers and the server for a while; both sides keep their connections."""

    seconds: float = 5.0

    @property
    def name(self) -> str:
        return f"black hole between workers and Redis, {self.seconds:.0f} s"

    async def strike(self, stage: Stage, load: Load) -> None:
        await stage.busy(*stage.behind)
        await stage.note(*stage.behind)
        stage.proxy.silence()
        await asyncio.sleep(self.seconds)
        stage.proxy.speak()
        await stage.busy(*stage.behind)
