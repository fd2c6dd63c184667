"""The fleet as it is looked at once a second, and what a window of such looks comes to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker as its last beat showed it; moments are this computer's monotonic clock."""

    incarnation: str
    counted_s: float
    """When its engine had written so many tokens: it is looked at once a second, and told of with the next beat."""
    output_tokens: int
    in_flight: int
    limit: int
    watts: float | None
    """All of its cards together; None where one does not tell, or it has none."""
    throttled: bool = False
    """Heat or watts leave it fewer slots than it has."""


@dataclass(frozen=True, slots=True)
class Look:
    """The fleet at one moment."""

    at_s: float
    beats: dict[str, Beat]
    """Those that serve the model, by their names."""
    all_watts: float | None
    """Every card that the fleet knows."""
    waiting: int
    """Jobs of the model and lane that no worker has yet."""
    settled: int
    """Jobs of ours that have ended since the first look."""
    others: int
    """Unfinished jobs of others."""

    def in_flight(self, names: Iterable[str]) -> int:
        """What these workers hold."""
        return sum(self.beats[name].in_flight for name in names if name in self.beats)


def look_at(status: FleetStatus, *, now_s: float, model: str, lane: Lane, ours: str, settled: int = 0) -> Look:
    """What of the fleet matters here."""
    serving = [worker for worker in status.workers if worker.card.model == model]
    waiting = sum(at.waiting + at.queued for at in status.queues if at.model == model and at.lane is lane)
    return Look(
        at_s=now_s,
        beats={worker.card.name: _beat(worker, now_s) for worker in serving},
        all_watts=watts_of(status.workers),
        waiting=waiting,
        settled=settled,
        others=sum(load.unfinished for load in status.tenants if load.tenant != ours),
    )


def _beat(worker: WorkerStatus, now_s: float) -> Beat:
    card = worker.card
    return Beat(
        incarnation=card.incarnation,
        counted_s=now_s - (worker.beat_age_ms + card.counted_ms) / 1000,
        output_tokens=card.output_tokens,
        in_flight=sum(worker.in_flight.values()),
        limit=card.slots if card.limit is None else card.limit,
        watts=watts_of([worker]),
        throttled=bool(card.throttle),
    )


def watts_of(workers: Iterable[WorkerStatus]) -> float | None:
    """What their cards draw, each counted once; None where one does not tell, or there is none."""
    told = {(worker.card.host, card.id or card.name): card.power_w for worker in workers for card in worker.card.cards}
    known = [watts for watts in told.values() if watts is not None]
    return sum(known) if told and len(known) == len(told) else None


@dataclass(frozen=True, slots=True)
class Window:
    """What some workers did while it lasted."""

    seconds: float
    output_tokens_per_s: float | None
    """By the engines' own counts; None where one does not count, or began anew."""
    jobs_per_s: float
    in_flight: float
    watts: float | None
    """Of these workers' cards."""
    all_watts: float | None
    others: bool
    """Others had jobs in the fleet meanwhile."""
    dry: bool
    """Nothing waited at some moment, so that slots may have been empty."""
    short: bool
    """So few jobs ended that it may have seen one wave of them and not the next."""
    throttled: bool
    """Heat or watts held one of these workers back at some moment."""


def window(looks: Sequence[Look], names: Collection[str]) -> Window:
    """At least two looks."""
    first, last = looks[0], looks[-1]
    seconds = last.at_s - first.at_s
    rates = [_rate(looks, name) for name in names]
    ended, in_flight = last.settled - first.settled, fmean(look.in_flight(names) for look in looks)
    return Window(
        seconds=seconds,
        output_tokens_per_s=None if None in rates else sum(rate for rate in rates if rate is not None),
        jobs_per_s=ended / seconds if seconds > 0 else 0.0,
        in_flight=in_flight,
        watts=_mean([_sum([_watts(look, name) for name in names]) for look in looks]),
        all_watts=_mean([look.all_watts for look in looks]),
        others=any(look.others for look in looks),
        dry=any(look.waiting == 0 for look in looks),
        short=ended < 2 * in_flight,
        throttled=any(look.beats[name].throttled for look in looks for name in names if name in look.beats),
    )


def _rate(looks: Sequence[Look], name: str) -> float | None:
    """Between the first and the last count; either is up to two seconds older than the look that saw it."""
    beats = [look.beats[name] for look in looks if name in look.beats]
    if len(beats) < len(looks) or len({beat.incarnation for beat in beats}) != 1:
        return None
    seconds, tokens = beats[-1].counted_s - beats[0].counted_s, beats[-1].output_tokens - beats[0].output_tokens
    if seconds <= 0 or tokens < 0 or not beats[-1].output_tokens:
        return None
    return tokens / seconds


def _watts(look: Look, name: str) -> float | None:
    return look.beats[name].watts if name in look.beats else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known: one look at which a card did not answer loses no window."""
    known = [value for value in values if value is not None]
    return fmean(known) if 2 * len(known) > len(values) else None
