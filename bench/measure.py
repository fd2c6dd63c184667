"""Interleaved runs: every variant once a round, with what it cost the worker and the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bench.report import Figure
from bench.rig import Rig
from bench.rounds import median, ratios


class Clocked(Protocol):
    """What does the work."""

    def cpu_s(self) -> float:
        """Processor time that it has used so far."""


Variant = tuple[Clocked, Callable[[int], Awaitable[float]]]
"""Who does it, and a function of the number of jobs that answers the seconds it took."""
WARM_UP_JOBS = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one variant."""

    jobs: int
    seconds: float
    worker_cpu_s: float
    server_cpu_s: float

    @property
    def jobs_per_second(self) -> float:
        return self.jobs / self.seconds


async def measure(rig: Rig, variants: Mapping[str, Variant], *, jobs: int, rounds: int) -> dict[str, list[Sample]]:
    """A warm-up of each, then `rounds` times each in turn."""
    for _, go in variants.values():
        await go(min(jobs, WARM_UP_JOBS))
    samples: dict[str, list[Sample]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, (worker, go) in variants.items():
            worker_s, server_s = worker.cpu_s(), rig.server_cpu_s()
            took_s = await go(jobs)
            samples[name].append(Sample(jobs, took_s, worker.cpu_s() - worker_s, rig.server_cpu_s() - server_s))
    return samples


def figures_of(name: str, samples: list[Sample]) -> dict[str, Figure]:
    """Medians over the rounds."""
    return {
        f"{name}_jobs_per_second": median(s.jobs_per_second for s in samples),
        f"{name}_worker_cpu_us_per_job": median(1e6 * s.worker_cpu_s / s.jobs for s in samples),
        f"{name}_server_cpu_us_per_job": median(1e6 * s.server_cpu_s / s.jobs for s in samples),
    }


def faster(one: list[Sample], other: list[Sample]) -> list[Sample]:
    """The better of two variants: a comparison owes the other side its best.

    By their medians. The better of each round would be a side that nobody has: the luckier of two draws, nine times.
    """
    return max(one, other, key=lambda samples: median(sample.jobs_per_second for sample in samples))


def ratio_of(ours: list[Sample], theirs: list[Sample]) -> float:
    """Of the jobs a second: the median over the pairs."""
    return median(_pairs(ours, theirs))


def ratio_spread(name: str, ours: list[Sample], theirs: list[Sample]) -> dict[str, Figure]:
    """The median over the pairs, and how far the pairs lie apart."""
    pairs = _pairs(ours, theirs)
    return {name: median(pairs), f"{name}_lowest_pair": pairs[0], f"{name}_highest_pair": pairs[-1]}


def _pairs(ours: list[Sample], theirs: list[Sample]) -> list[float]:
    return ratios([s.jobs_per_second for s in ours], [s.jobs_per_second for s in theirs])
