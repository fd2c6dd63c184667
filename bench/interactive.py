"""How soon a person sees the first token while batch fills the engine: real vLLM on the CPU, ours beside it directly.

Each round has four windows of the same length on the same server: our fleet idle, our batch lane alone, both lanes, and
the server driven directly with as many batch requests in flight and the same priorities.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bench.attached import Attached, attached, slots_for
from bench.direct import Direct, direct
from bench.machine import machine
from bench.prompts import Prompt, prompts
from bench.real_server import real_server
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median, percentile
from viiwork_workers.ledger import reserve

BATCH_IN_FLIGHT = 24
SLOTS = slots_for(BATCH_IN_FLIGHT)
BATCH_TOKENS = 256
PERSON_TOKENS = 16
PEOPLE_PER_S = 2
SETTLE_S = 3.0
"""Before a window counts: every slot has been filled by then."""
BACKLOG = 20_000
"""Batch jobs in front: more than all windows take."""
PUBLISHED_GATEWAY_RATIO = 2.2
"""The best that a gateway (llm-d) has published: p99 of the time to first token beside batch, over the unloaded one."""
GOALS = (
    Goal("first_token_p99_over_direct", at_most=1.25),
    Goal("batch_throughput_kept", at_least=0.8),
    Goal("first_token_p99_over_idle", at_most=PUBLISHED_GATEWAY_RATIO),
)
Ask = Callable[[Prompt], Awaitable[float]]


@dataclass(slots=True)
class Windows:
    """What the rounds gave, in ms and tokens/s."""

    idle: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)
    direct: list[float] = field(default_factory=list)
    batch_alone: list[float] = field(default_factory=list)
    batch_shared: list[float] = field(default_factory=list)
    batch_direct: list[float] = field(default_factory=list)


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` of people in each window, two a second, in `rounds` rounds."""
    figures: dict[str, Figure] = {
        **machine(),
        "slots": SLOTS,
        "reserve": reserve(SLOTS),
        "batch_in_flight": BATCH_IN_FLIGHT,
        "batch_output_tokens": BATCH_TOKENS,
        "person_output_tokens": PERSON_TOKENS,
        "people_per_second": PEOPLE_PER_S,
        "people_per_window": jobs,
        "rounds": rounds,
    }
    async with real_server(rig, slots=SLOTS) as server, direct(server) as client:
        figures["engine"] = server.version + ", a random-weight Llama of 10 MB"
        async with attached(rig, server, slots=SLOTS) as fleet:
            windows = Windows()
            batch = await fleet.submit(prompts(BACKLOG, output_tokens=BATCH_TOKENS, first=10_000))
            await _pause(fleet, batch)
            for number in range(rounds):
                await _round(windows, fleet, client, batch, people=jobs, first=number * jobs)
    return Report("interactive", figures | _figures(windows), GOALS)


async def _round(windows: Windows, fleet: Attached, client: Direct, batch: str, *, people: int, first: int) -> None:
    asked = prompts(people, output_tokens=PERSON_TOKENS, first=first)
    windows.idle += await _people(asked, fleet.first_token_s)
    await fleet.steer(batch, "resume")
    await asyncio.sleep(SETTLE_S)
    windows.batch_alone.append(await _rate(client, asyncio.sleep(people / PEOPLE_PER_S)))
    shared = _people(asked, fleet.first_token_s, into=windows.shared)
    windows.batch_shared.append(await _rate(client, shared, others=people * PERSON_TOKENS))
    await _pause(fleet, batch)
    async with client.loaded(BATCH_IN_FLIGHT, output_tokens=BATCH_TOKENS):
        await asyncio.sleep(SETTLE_S)
        unshared = _people(asked, client.first_token_s, into=windows.direct)
        windows.batch_direct.append(await _rate(client, unshared, others=people * PERSON_TOKENS))
    await asyncio.sleep(1.0)


async def _pause(fleet: Attached, batch: str) -> None:
    await fleet.steer(batch, "pause")
    await fleet.drained()


async def _people(asked: list[Prompt], ask: Ask, *, into: list[float] | None = None) -> list[float]:
    """One person after the other sets out, two a second, however long the others take; ms to their first tokens."""
    begin_s = asyncio.get_running_loop().time()

    async def person(number: int, prompt: Prompt) -> float:
        await asyncio.sleep(max(0.0, begin_s + number / PEOPLE_PER_S - asyncio.get_running_loop().time()))
        return 1000 * await ask(prompt)

    waits = await asyncio.gather(*(person(number, prompt) for number, prompt in enumerate(asked)))
    if into is not None:
        into += waits
    return waits


async def _rate(client: Direct, window: Awaitable[object], *, others: int = 0) -> float:
    """Tokens a second that the server generated for the batch while the window lasted."""
    before, begin = await client.generated(), time.perf_counter()
    await window
    return (await client.generated() - before - others) / (time.perf_counter() - begin)


def _figures(windows: Windows) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for name in ("idle", "shared", "direct"):
        for percent in (50, 95, 99):
            figures[f"{name}_first_token_p{percent}_ms"] = percentile(getattr(windows, name), percent)
    for name in ("batch_alone", "batch_shared", "batch_direct"):
        figures[f"{name}_tokens_per_second"] = median(getattr(windows, name))
    kept = [shared / alone for shared, alone in zip(windows.batch_shared, windows.batch_alone, strict=True)]
    return figures | {
        "first_token_p99_over_direct": percentile(windows.shared, 99) / percentile(windows.direct, 99),
        "first_token_p50_over_idle": percentile(windows.shared, 50) / percentile(windows.idle, 50),
        "first_token_p99_over_idle": percentile(windows.shared, 99) / percentile(windows.idle, 99),
        "published_gateway_over_idle": PUBLISHED_GATEWAY_RATIO,
        "batch_throughput_kept": median(kept),
    }
