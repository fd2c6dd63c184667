"""Real vLLM on the CPU, full, through the queue and driven directly: what the queue costs a server that batches.

Short windows in turn (ours, directly, directly, ours …), each counted by the server's own metric once every slot is
taken, so that whatever slows this machine for a minute meets both sides. Whole files are timed beside them: they hold
the moments before the first of a file runs and after most of it has ended, too.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from bench.attached import Attached, attached, slots_for
from bench.direct import Direct, direct
from bench.machine import machine
from bench.prompts import prompts
from bench.real_server import RealServer, real_server
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median, percentile, ratios
from viiwork.errors import Unavailable

IN_FLIGHT = (16, 64)
OUTPUT_TOKENS = 64
FIRST_TOKENS = 8
LOOKS = 100
"""Single requests on the idle server, ours and direct in turn."""
ALONE_JOBS = 80
"""For a worker that has one request in the engine at a time."""
WINDOW_S = 5.0
SETTLE_S = 1.5
"""Before a window counts: every slot has been filled by then."""
WAVES = 24
"""A file that is timed as a whole has so many jobs for each slot."""
GOALS = (
    Goal("ratio_16_in_flight", at_least=0.95),
    Goal("ratio_64_in_flight", at_least=0.95),
    Goal("added_first_token_p50_ms", at_most=10),
)


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`rounds` pairs of windows out of `jobs` at most, with 16 and with 64 in flight; single requests after them."""
    figures: dict[str, Figure] = {
        **machine(),
        "output_tokens_per_job": OUTPUT_TOKENS,
        "pairs": rounds,
        "window_s": WINDOW_S,
    }
    async with real_server(rig, slots=slots_for(max(IN_FLIGHT))) as server, direct(server) as client:
        figures["engine"] = server.version + ", a random-weight Llama of 10 MB"
        for in_flight in IN_FLIGHT:
            async with attached(rig, server, slots=slots_for(in_flight)) as fleet:
                figures |= await _whole_files(fleet, client, in_flight)
                figures |= await _sustained(fleet, client, in_flight, jobs=jobs, rounds=rounds)
        figures |= await _one_at_a_time(rig, server, jobs=ALONE_JOBS)
        figures |= await _first_tokens(rig, server, client)
    return Report("engine", figures, GOALS)


async def _whole_files(fleet: Attached, client: Direct, in_flight: int) -> dict[str, Figure]:
    """One file each, from the submit to the last commit; a short one before it warms both up."""
    for waves, first in ((1, 0), (WAVES, 1000)):
        asked = prompts(waves * in_flight, output_tokens=OUTPUT_TOKENS, first=first)
        theirs = _rate(await client.run(asked, in_flight=in_flight))
        ours = _rate(await fleet.run(asked))
    return {f"ratio_{in_flight}_whole_file_of_{WAVES * in_flight}": ours / theirs}


async def _sustained(fleet: Attached, client: Direct, in_flight: int, *, jobs: int, rounds: int) -> dict[str, Figure]:
    """Pairs of windows; K is as large as leaves the batch lane `in_flight` slots."""
    ours: list[float] = []
    theirs: list[float] = []
    batch = await fleet.submit(prompts(jobs, output_tokens=OUTPUT_TOKENS, first=10_000))
    for number in range(rounds):
        if number % 2:
            theirs.append(await _directly(client, in_flight))
        ours.append(await _through(fleet, client, batch))
        if not number % 2:
            theirs.append(await _directly(client, in_flight))
    await fleet.steer(batch, "cancel")
    await fleet.drained()
    pairs = ratios(ours, theirs)
    return {
        f"slots_for_{in_flight}_in_flight": slots_for(in_flight),
        f"ours_{in_flight}_tokens_per_second": median(ours),
        f"direct_{in_flight}_tokens_per_second": median(theirs),
        f"ratio_{in_flight}_in_flight": median(pairs),
        f"ratio_{in_flight}_lowest_pair": pairs[0],
        f"ratio_{in_flight}_highest_pair": pairs[-1],
    }


async def _through(fleet: Attached, client: Direct, batch: str) -> float:
    """Tokens a second of a batch lane that is full all the while. Raises Unavailable when the jobs ran out."""
    await fleet.steer(batch, "resume")
    rate = await _window(client)
    await fleet.steer(batch, "pause")
    if fleet.waiting() == 0:
        raise Unavailable("the jobs ran out before the windows did: give more with --jobs.")
    await fleet.drained()
    return rate


async def _directly(client: Direct, in_flight: int) -> float:
    """The same of a client that keeps as many requests on their way."""
    async with client.loaded(in_flight, output_tokens=OUTPUT_TOKENS):
        return await _window(client)


async def _window(client: Direct) -> float:
    """Tokens a second that the server generates once it is full, by its own count."""
    await asyncio.sleep(SETTLE_S)
    before, begin = await client.generated(), time.perf_counter()
    await asyncio.sleep(WINDOW_S)
    return (await client.generated() - before) / (time.perf_counter() - begin)


async def _one_at_a_time(rig: Rig, server: RealServer, *, jobs: int) -> dict[str, Figure]:
    """What a worker makes of the same server that waits for each answer before it asks again."""
    async with attached(rig, server, slots=1) as fleet:
        await fleet.run(prompts(1, output_tokens=OUTPUT_TOKENS))
        rate = _rate(await fleet.run(prompts(jobs, output_tokens=OUTPUT_TOKENS, first=500)))
    return {"ours_1_tokens_per_second": rate}


async def _first_tokens(rig: Rig, server: RealServer, client: Direct) -> dict[str, Figure]:
    """Time to first token of a person alone: from the request, or the submit, to the first text."""
    ours: list[float] = []
    theirs: list[float] = []
    async with AsyncExitStack() as stack:
        fleet: Attached = await stack.enter_async_context(attached(rig, server, slots=slots_for(max(IN_FLIGHT))))
        for prompt in prompts(LOOKS, output_tokens=FIRST_TOKENS, first=2000):
            theirs.append(1000 * await client.first_token_s(prompt))
            ours.append(1000 * await fleet.first_token_s(prompt))
    return {
        "ours_first_token_p50_ms": percentile(ours, 50),
        "ours_first_token_p95_ms": percentile(ours, 95),
        "direct_first_token_p50_ms": percentile(theirs, 50),
        "direct_first_token_p95_ms": percentile(theirs, 95),
        "added_first_token_p50_ms": percentile(ours, 50) - percentile(theirs, 50),
    }


def _rate(ran: tuple[int, float]) -> float:
    tokens, seconds = ran
    return tokens / seconds
