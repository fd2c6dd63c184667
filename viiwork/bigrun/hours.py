"""How long work takes and what it uses, by what other work took on the same fleet. Pure.

Whatever an engine costs a call, a token that goes in and a token that comes out: as long as none of these is negative,
the time of one batch is to the time of another as some mean of their calls, prompts and answers is. So it lies between
the smallest and the largest of the three proportions, and no cost need be known (the inequality of the mediant).
Beside that counts how full the slots were: a run of few calls leaves some idle, and the last wave of any does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from viiwork.bigrun.workload import Span, Workload
from viiwork.expense import Cost
from viiwork.runs import Run

NARROW = 1.5
"""A range whose ends lie no further apart says enough."""
MOST_RUNS = 3
"""The newest so many are looked at together: they differ by what else the fleet had to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """What work will take, and by which runs that was reckoned."""

    runs: tuple[Run, ...]
    work: Workload
    """The same work, with answers as long as those runs' were."""
    seconds: Span
    energy_j: Span | None
    cost: tuple[Cost, Cost] | None
    """Of both ends of the energy."""


def reckoned(
    work_of: Callable[[Span], Workload], runs: Sequence[Run], *, task: str, slots: int, most_tokens: int
) -> Reckoned | None:
    """By the best of these runs, the newest first; None where none can be compared.

    `work_of` is the work for answers of so many tokens on average, `most_tokens` the longest that is allowed. A run of
    the same task also says how long answers are; those of other tasks are asked only where there is none.
    """
    same = [(work_of(answer_of(run, most_tokens)), run) for run in runs if run.task == task and run.calls]
    others = [(work_of(Span(1, most_tokens)), run) for run in runs if run.task != task]
    for pairs in (same, others):
        found = [one for work, run in pairs if (one := by_run(work, run, slots)) is not None]
        if found:
            narrow = [one for one in found if one.seconds.high <= NARROW * one.seconds.low][:MOST_RUNS]
            return _together(narrow or [min(found, key=lambda one: one.seconds.high / one.seconds.low)])
    return None


def answer_of(run: Run, most_tokens: int) -> Span:
    """How long the run's answers were on average."""
    mean = min(run.output_tokens / run.calls, most_tokens)
    return Span(mean, mean)


def by_run(work: Workload, run: Run, slots: int) -> Reckoned | None:
    """The work, reckoned by one run; None where that says nothing of it."""
    times = proportions(work, run)
    if times is None or times.low <= 0 or run.seconds <= 0 or slots <= 0 or run.slots <= 0:
        return None
    full_s = run.seconds * run.slots / slots
    seconds = times.times(full_s * filled(run.calls, run.slots), full_s / filled(work.calls.high, slots))
    energy = None if run.energy_j is None else times.times(run.energy_j)
    cost = None if run.cost is None else (_scaled(run.cost, times.low), _scaled(run.cost, times.high))
    return Reckoned(runs=(run,), work=work, seconds=seconds, energy_j=energy, cost=cost)


def proportions(work: Workload, run: Run) -> Span | None:
    """How many times the run's work this is, by its smallest and its largest part; None where that has no bounds."""
    parts = (
        (work.calls, run.calls),
        (work.prompt_tokens, run.prompt_tokens),
        (work.output_tokens, run.output_tokens),
    )
    if any(now.high > 0 and not then for now, then in parts):
        return None
    known = [Span(now.low / then, now.high / then) for now, then in parts if then]
    return Span(min(one.low for one in known), max(one.high for one in known)) if known else None


def filled(calls: float, slots: int) -> float:
    """How much of the slots' time so many calls use, if all take as long: the last wave may leave some idle."""
    if calls <= 0 or slots <= 0:
        return 1.0
    waves = -(-calls // slots)
    return calls / (waves * slots)


def _together(some: Sequence[Reckoned]) -> Reckoned:
    """The range over all of them."""
    energies = [one.energy_j for one in some if one.energy_j is not None]
    costs = sorted((cost for one in some for cost in one.cost or ()), key=lambda cost: cost.cards_kwh_at_wall)
    return Reckoned(
        runs=tuple(run for one in some for run in one.runs),
        work=Workload(
            maps=some[0].work.maps,
            merges=_envelope([one.work.merges for one in some]),
            prompt_tokens=_envelope([one.work.prompt_tokens for one in some]),
            output_tokens=_envelope([one.work.output_tokens for one in some]),
        ),
        seconds=_envelope([one.seconds for one in some]),
        energy_j=_envelope(energies) if energies else None,
        cost=(costs[0], costs[-1]) if costs else None,
    )


def _envelope(spans: Sequence[Span]) -> Span:
    return Span(min(span.low for span in spans), max(span.high for span in spans))


def _scaled(cost: Cost, times: float) -> Cost:
    return Cost(
        cards_kwh_at_wall=cost.cards_kwh_at_wall * times,
        money=None if cost.money is None else cost.money * times,
        currency=cost.currency,
        co2_g=None if cost.co2_g is None else cost.co2_g * times,
    )
