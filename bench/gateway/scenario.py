"""What a chat through VIIWork costs beside LiteLLM's proxy and beside the engine itself, in turn on the same engine.

Ours is the whole durable path: one API process, Redis with its append-only file, one worker under a lease. LiteLLM's is
one process that holds everything in memory. The engine answers at once, so all that is timed is what stands before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench.attached import attached
from bench.gateway.load import Seen
from bench.gateway.processes import asked, fake_engine
from bench.gateway.rival import litellm_proxy
from bench.gateway.rival import version as litellm_version
from bench.machine import machine
from bench.real_server import ALIAS, RealServer
from bench.report import Figure, Goal, Report
from bench.rig import Rig, Worker
from bench.rounds import median, percentile, ratios

TOKENS = 16
EACH_MS = 2.0
"""Between two tokens of a streamed answer: an answer that is over at once is no stream."""
SLOTS = 32
MANY = 16
SETTLE_S = 0.2
"""Between two runs: what the last one left to be done is not the next one's."""
STREAMS_SHARE = 4
"""One streamed request for so many whole ones: each takes 30 ms for its tokens alone."""
MANY_TIMES = 3
"""Requests by 16 clients for each by one."""
GOALS = (
    Goal("added_p50_over_litellm", at_most=1.0),
    Goal("requests_per_second_over_litellm", at_least=1.5),
    Goal("added_first_token_p50_ms", at_most=8),
)


@dataclass(frozen=True, slots=True)
class Side:
    """Where clients knock, and the processes that answer them."""

    url: str
    parts: Mapping[str, Callable[[], float]]
    """Processor seconds used so far, by process."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the clients saw, and what it cost each process: microseconds a request."""

    seen: Seen
    cpu_us: Mapping[str, float]

    @property
    def per_second(self) -> float:
        return len(self.seen.latency_s) / self.seen.took_s

    def latency_ms(self, percent: float) -> float:
        return 1000 * percentile(self.seen.latency_s, percent)

    def first_ms(self, percent: float) -> float:
        return 1000 * percentile(self.seen.first_s, percent)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to knock."""

    name: str
    clients: int
    stream: bool
    requests: Callable[[int], int]


KINDS = (
    Kind("one", 1, False, lambda jobs: jobs),
    Kind("many", MANY, False, lambda jobs: MANY_TIMES * jobs),
    Kind("stream", 1, True, lambda jobs: max(1, jobs // STREAMS_SHARE)),
)
PARTS = {"direct": (), "litellm": ("proxy",), "ours": ("api", "worker", "redis")}
"""The processes of each side."""
Runs = dict[str, dict[str, list[Run]]]
"""By kind, then by side; one a round."""


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """`jobs` requests by one client in each run, and three times as many by sixteen, in `rounds` rounds."""
    figures: dict[str, Figure] = {
        **machine(),
        "litellm_version": litellm_version(),
        "engine": "a stand-in that answers at once, one process",
        "output_tokens": TOKENS,
        "between_streamed_tokens_ms": EACH_MS,
        "slots": SLOTS,
        "clients": MANY,
        "rounds": rounds,
        "requests_by_one_client": rounds * jobs,
    }
    async with AsyncExitStack() as stack:
        sides, engine = await _sides(rig, stack)
        runs: Runs = {kind.name: {side: [] for side in sides} for kind in KINDS}
        for number in range(-1, rounds):
            for kind in KINDS:
                for side in _turned(list(sides), number):
                    ran = await _run(kind, sides[side], engine, requests=kind.requests(jobs))
                    if number >= 0:  # the first round warms all of them up
                        runs[kind.name][side].append(ran)
    return Report("gateway", figures | figures_of(runs), GOALS)


async def _sides(rig: Rig, stack: AsyncExitStack) -> tuple[dict[str, Side], Worker]:
    """All at once on one engine, each idle while another is asked; and that engine."""
    engine, url = stack.enter_context(fake_engine(rig, model=ALIAS, tokens=TOKENS, each_ms=EACH_MS))
    proxy, proxy_url = stack.enter_context(litellm_proxy(rig, url, model=ALIAS))
    fleet = await stack.enter_async_context(attached(rig, RealServer(url, "none", "a stand-in"), slots=SLOTS))
    ours = {"api": fleet.api.cpu_s, "worker": fleet.worker.cpu_s, "redis": rig.server_cpu_s}
    sides = {
        "direct": Side(url, {}),
        "litellm": Side(proxy_url, {"proxy": proxy.cpu_s}),
        "ours": Side(fleet.url, ours),
    }
    return sides, engine


def _turned(names: Sequence[str], number: int) -> list[str]:
    """Each round another one goes first."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


async def _run(kind: Kind, side: Side, engine: Worker, *, requests: int) -> Run:
    await asyncio.sleep(SETTLE_S)
    parts = {**side.parts, "engine": engine.cpu_s}
    before = {name: clock() for name, clock in parts.items()}
    seen = await asked(
        side.url, model=ALIAS, clients=kind.clients, requests=requests, tokens=TOKENS, stream=kind.stream
    )
    used_s = {name: clock() - before[name] for name, clock in parts.items()} | {"clients": seen.cpu_s}
    # the clients' own warm-up, one request each, is in the other processes' clocks
    asked_for = {name: requests + (kind.clients if name != "clients" else 0) for name in used_s}
    return Run(seen, {name: 1e6 * used / asked_for[name] for name, used in used_s.items()})


def figures_of(runs: Runs) -> dict[str, Figure]:
    """Medians over the rounds; what was added is taken inside each round."""
    figures: dict[str, Figure] = {}
    for side in ("direct", "litellm", "ours"):
        figures |= _of_side(runs, side)
    ours, theirs = (_added(runs["one"], side, 50) for side in ("ours", "litellm"))
    pairs = ratios(ours, theirs)
    speeds = ratios(*([run.per_second for run in runs["many"][side]] for side in ("ours", "litellm")))
    return figures | {
        "added_p50_over_litellm": median(pairs),
        "added_p50_over_litellm_lowest_pair": pairs[0],
        "added_p50_over_litellm_highest_pair": pairs[-1],
        "requests_per_second_over_litellm": median(speeds),
        "requests_per_second_over_litellm_lowest_pair": speeds[0],
        "requests_per_second_over_litellm_highest_pair": speeds[-1],
        "added_first_token_p50_ms": figures["ours_added_first_token_p50_ms"],
        "cpu_over_litellm": _cpu_us(runs, "ours") / _cpu_us(runs, "litellm"),
    }


def _cpu_us(runs: Runs, side: str) -> float:
    """Of a request by one of many clients: what all processes before the engine take."""
    return sum(median(run.cpu_us[part] for run in runs["many"][side]) for part in PARTS[side])


def _of_side(runs: Runs, side: str) -> dict[str, Figure]:
    one, many, stream = (runs[kind.name][side] for kind in KINDS)
    figures: dict[str, Figure] = {
        f"{side}_p50_ms": median(run.latency_ms(50) for run in one),
        f"{side}_p95_ms": median(run.latency_ms(95) for run in one),
        f"{side}_requests_per_second": median(run.per_second for run in many),
        f"{side}_of_many_p50_ms": median(run.latency_ms(50) for run in many),
        f"{side}_of_many_p95_ms": median(run.latency_ms(95) for run in many),
        f"{side}_first_token_p50_ms": median(run.first_ms(50) for run in stream),
    }
    if side != "direct":
        for percent in (50, 95):
            figures[f"{side}_added_p{percent}_ms"] = median(_added(runs["one"], side, percent))
        firsts = zip(stream, runs["stream"]["direct"], strict=True)
        figures[f"{side}_added_first_token_p50_ms"] = median(
            run.first_ms(50) - bare.first_ms(50) for run, bare in firsts
        )
    for part in many[0].cpu_us:
        figures[f"{side}_{part}_cpu_us_per_request"] = median(run.cpu_us[part] for run in many)
    return figures


def _added(runs: Mapping[str, Sequence[Run]], side: str, percent: float) -> list[float]:
    """By the side to what the engine takes by itself, round by round."""
    pairs = zip(runs[side], runs["direct"], strict=True)
    return [run.latency_ms(percent) - bare.latency_ms(percent) for run, bare in pairs]
