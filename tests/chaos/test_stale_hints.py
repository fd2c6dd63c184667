"""A queue full of hints that lead nowhere: they are used up once, and then the worker is as quiet as before."""

from __future__ import annotations

import asyncio

from tests.workers import Fleet, eventually, make_job, ready
from viiwork.jobs import Lane, State
from viiwork.queues import make_envelope, queue_name
from viiwork.store import Store

HINTS = 2_000


async def commands(store: Store) -> int:
    """What the server does in two seconds."""
    before = (await store.client.info("stats"))["total_commands_processed"]
    await asyncio.sleep(2.0)
    return int((await store.client.info("stats"))["total_commands_processed"]) - before


async def test_hints_of_jobs_that_are_gone_are_used_up_and_nothing_spins(fleet: Fleet, real_store: Store) -> None:
    """A job behind them is done, and afterwards only beats and pops are heard."""
    envelope = make_envelope().replace("@TASK@", "viiwork.run").replace("@QUEUE@", "batch.noop")
    hints = [envelope.replace("@HINT@", f"job_gone{n}.1.1") for n in range(HINTS)]
    await real_store.client.lpush(f"{real_store.prefix}{queue_name(Lane.BATCH, 'noop')}", *hints)
    others = await commands(real_store)  # of services that earlier tests share
    fleet.start("gpu0")
    await ready(real_store, 1)
    job = make_job()
    await real_store.submit([job])

    async def done() -> bool:
        return (await real_store.job(job.id)).state is State.SUCCEEDED

    await eventually(done, what="the job behind them is done")
    assert await commands(real_store) - others < HINTS / 2, "ten beats and some pops, not the hints again"
    assert fleet.processes["gpu0"].poll() is None
