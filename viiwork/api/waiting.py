"""The long poll: a job's status once it has ended, or when whoever waits for it has waited enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from viiwork.api.intake import Intake
from viiwork.errors import Busy
from viiwork.jobs import TERMINAL, Status
from viiwork.store.ears import Words
from viiwork.store.watch import LOOK_AGAIN_S, Watch


async def settled(desk: Intake, job_id: str, *, wait_s: float, request: Request) -> Status:
    """The job's status once it has ended, or when the time (or the caller) is gone."""
    status = await desk.store.job(job_id)
    if status.state in TERMINAL or wait_s <= 0:
        return status
    watch: Watch = request.app.state.watch
    try:
        async with watch.listen(job_id, pause_s=0) as changes:  # a job changes a few times in its life
            ended = asyncio.create_task(_end_of(desk, job_id, changes))
            await _either(ended, asyncio.create_task(_hung_up(request)), within_s=wait_s)
    except Busy:
        await asyncio.sleep(min(wait_s, LOOK_AGAIN_S))  # else whoever asks again at once would keep us busier still
        return await desk.store.job(job_id)
    return await desk.store.job(job_id) if ended.cancelled() else ended.result()


async def _end_of(desk: Intake, job_id: str, changes: AsyncIterator[Words]) -> Status:
    async for _ in changes:
        status = await desk.store.job(job_id)
        if status.state in TERMINAL:
            return status
    return await desk.store.job(job_id)  # this process is shutting down


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _either(*tasks: asyncio.Task[object], within_s: float) -> None:
    """Until one of the tasks is done, or the time is over; then the others are stopped."""
    try:
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
