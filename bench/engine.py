"""Real vLLM on the CPU, full, through the queue and driven directly: what the queue costs a server that batches."""

from __future__ import annotations

from contextlib import AsyncExitStack

from bench.attached import Attached, attached, slots_for
from bench.direct import Direct, direct
from bench.machine import machine
from bench.prompts import prompts
from bench.real_server import RealServer, real_server
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median, percentile, ratios

IN_FLIGHT = (16, 64)
OUTPUT_TOKENS = 64
FIRST_TOKENS = 8
LOOKS = 100
"""Single requests on the idle server, ours and direct in turn."""
ALONE_SHARE = 16
"""A worker that has one request in the engine at a time gets so many times fewer."""
GOALS = (
    Goal("ratio_16_in_flight", at_least=0.95),
    Goal("ratio_64_in_flight", at_least=0.95),
    Goal("added_first_token_p50_ms", at_most=10),
)


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` with 64 in flight, half as many with 16, a sixteenth one at a time; ours and direct in turn."""
    figures: dict[str, Figure] = {**machine(), "output_tokens_per_job": OUTPUT_TOKENS, "rounds": rounds}
    async with real_server(rig, slots=slots_for(max(IN_FLIGHT))) as server, direct(server) as client:
        figures["engine"] = server.version + ", a random-weight Llama of 10 MB"
        for in_flight in IN_FLIGHT:
            count = jobs * in_flight // max(IN_FLIGHT) * (2 if in_flight < max(IN_FLIGHT) else 1)
            figures |= await _throughput(rig, server, client, in_flight=in_flight, jobs=count, rounds=rounds)
        figures |= await _one_at_a_time(rig, server, jobs=max(1, jobs // ALONE_SHARE))
        figures |= await _first_tokens(rig, server, client)
    return Report("engine", figures, GOALS)


async def _throughput(
    rig: Rig, server: RealServer, client: Direct, *, in_flight: int, jobs: int, rounds: int
) -> dict[str, Figure]:
    """Both sides in turn; K is as large as leaves the batch lane `in_flight` slots."""
    ours: list[float] = []
    theirs: list[float] = []
    async with attached(rig, server, slots=slots_for(in_flight)) as fleet:
        await fleet.run(prompts(in_flight, output_tokens=OUTPUT_TOKENS))
        await client.run(prompts(in_flight, output_tokens=OUTPUT_TOKENS), in_flight=in_flight)
        for number in range(rounds):
            asked = prompts(jobs, output_tokens=OUTPUT_TOKENS, first=1000 + number * jobs)
            theirs.append(_rate(await client.run(asked, in_flight=in_flight)))
            ours.append(_rate(await fleet.run(asked)))
    pairs = ratios(ours, theirs)
    return {
        f"slots_for_{in_flight}_in_flight": slots_for(in_flight),
        f"ours_{in_flight}_tokens_per_second": median(ours),
        f"direct_{in_flight}_tokens_per_second": median(theirs),
        f"ratio_{in_flight}_in_flight": median(pairs),
        f"ratio_{in_flight}_lowest_pair": pairs[0],
        f"ratio_{in_flight}_highest_pair": pairs[-1],
    }


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
