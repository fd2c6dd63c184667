"""What the records tell afterwards: where and when each job ran, on Redis' clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from viiwork.errors import Unavailable
from viiwork.store import Store

FIELDS = ("worker", "created_ms", "started_ms", "finished_ms", "state", "commits")
READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Span:
    """One job from its submit to its commit."""

    worker: str
    created_ms: int
    started_ms: int
    finished_ms: int

    @property
    def start_latency_ms(self) -> int:
        """From the submit to the claim."""
        return self.started_ms - self.created_ms

    def runs_at(self, at_ms: float) -> bool:
        return self.started_ms <= at_ms < self.finished_ms

    def overlap_ms(self, begin_ms: float, end_ms: float) -> float:
        """For how much of a window it ran."""
        return max(0.0, min(self.finished_ms, end_ms) - max(self.started_ms, begin_ms))


async def read_spans(store: Store, ids: Sequence[str]) -> list[Span]:
    """The spans of jobs that have ended. Raises Unavailable unless each was committed exactly once."""
    spans: list[Span] = []
    for first in range(0, len(ids), READ_AT_ONCE):
        part = ids[first : first + READ_AT_ONCE]
        for record in await store.read([("HMGET", f"{store.prefix}job:{job}", *FIELDS) for job in part]):
            worker, created, started, finished, state, commits = record
            if (state, commits) != ("succeeded", "1"):
                raise Unavailable(f"a job is {state} with {commits} commits, not succeeded with one.")
            spans.append(Span(str(worker), int(created), int(started), int(finished)))
    return spans


def makespan_s(spans: Sequence[Span]) -> float:
    """From the first submit to the last commit."""
    return (max(span.finished_ms for span in spans) - min(span.created_ms for span in spans)) / 1000


def mean_spread(spans: Sequence[Span], workers: int, *, begin_ms: float, end_ms: float, step_ms: float = 50.0) -> float:
    """The most in flight on a worker less the fewest, sampled every `step_ms`; workers without a job count as 0."""
    return fmean(_spread(spans, workers, at_ms) for at_ms in _steps(begin_ms, end_ms, step_ms))


def mean_in_flight(spans: Sequence[Span], *, begin_ms: float, end_ms: float) -> float:
    """Jobs that ran at a time, on the average of the window."""
    return sum(span.overlap_ms(begin_ms, end_ms) for span in spans) / (end_ms - begin_ms)


def _spread(spans: Sequence[Span], workers: int, at_ms: float) -> int:
    held: dict[str, int] = {}
    for span in spans:
        if span.runs_at(at_ms):
            held[span.worker] = held.get(span.worker, 0) + 1
    fewest = min(held.values()) if len(held) == workers else 0
    return max(held.values(), default=0) - fewest


def _steps(begin_ms: float, end_ms: float, step_ms: float) -> Iterable[float]:
    return (begin_ms + step_ms * number for number in range(int((end_ms - begin_ms) / step_ms)))
