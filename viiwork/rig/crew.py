"""Who is measured, and whether that may be now. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from viiwork.cardwords import brakes
from viiwork.errors import Busy, ModelNotServed, Unavailable, UsageError
from viiwork.rig.outcome import CardKind
from viiwork.rig.wording import SPREAD, Wording
from viiwork.roster import FleetStatus, WorkerStatus

SIMULATED = "simulated"
SUBMITTER = "viiwork-bench"
"""Whose jobs these are: a submitter of their own, so that nobody's share or limit pays for them."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers of one model that may take jobs."""

    model: str
    workers: tuple[WorkerStatus, ...]
    """In the order of their names."""
    unable: tuple[str, ...] = ()
    """Workers of the model that took no jobs when it began: quarantined, hot, loading, not up, or with a lane closed.
    They are held, lest they come back in the middle of a window."""
    why: tuple[str, ...] = ()
    """Of each of these in the same order: `gpu2@box (restarting (1 deaths))`."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(worker.card.name for worker in self.workers)

    @property
    def slots(self) -> int:
        """Of the worker that has fewest."""
        return min(worker.card.slots for worker in self.workers)

    @property
    def hosts(self) -> int:
        return len({worker.card.host for worker in self.workers})

    @property
    def engine(self) -> str:
        """What answers; more than one kind is named as such."""
        return " and ".join(sorted({worker.card.engine for worker in self.workers}))

    @property
    def simulated(self) -> bool:
        """Any part of it: then no figure is a real card's."""
        said = [worker.card.engine for worker in self.workers]
        said += [card.name for worker in self.workers for card in worker.card.cards]
        return any(SIMULATED in each for each in said)

    def cards(self, names: Iterable[str]) -> int:
        """How many these workers have; 0 where nobody told them of any."""
        wanted = set(names)
        return sum(len(worker.card.cards) for worker in self.workers if worker.card.name in wanted)


def crew_of(status: FleetStatus, model: str) -> Crew:
    """The workers of the model that was named, or of the only one. Raises UsageError, ModelNotServed, Unavailable."""
    if not status.models:
        raise Unavailable("No engine worker is up yet.", hint="Look at `viiwork status`.")
    if not model and len(status.models) > 1:
        raise UsageError(f"--model: say which one; served here are {', '.join(status.models)}.", param="model")
    chosen = model or status.models[0]
    all_of_it = [worker for worker in status.workers if worker.card.model == chosen]
    able = [worker for worker in all_of_it if may_work(worker)]
    if chosen not in status.models:
        raise ModelNotServed(
            f"--model {chosen}: nobody serves it.", hint=f"Served here: {', '.join(status.models)}.", param="model"
        )
    if not able:
        raise Unavailable(f"No worker of {chosen} takes jobs of both lanes now.", hint="Look at `viiwork status`.")
    ordered = tuple(sorted(able, key=lambda worker: worker.card.name))
    out = {w.card.name: reason(w) for w in all_of_it if not may_work(w)} | absent(status, chosen)
    return Crew(chosen, ordered, unable=tuple(out), why=tuple(f"{name} ({told})" for name, told in out.items()))


def reason(worker: WorkerStatus) -> str:
    """Why it is left out."""
    return "; ".join(brakes(worker)) or "it takes no jobs now"


def absent(status: FleetStatus, model: str) -> dict[str, str]:
    """Workers that a supervisor has for this model and that do not beat, such as one whose process starts again."""
    up = {worker.card.name for worker in status.workers}
    there = [(f"{card.worker}@{host.host}", card) for host in status.hosts for card in host.cards if card.worker]
    named = (model, "") if len(status.models) == 1 else (model,)  # a built-in engine without an alias is told of as ""
    return {name: "it is not up" for name, card in there if card.model in named and name not in up}


def may_work(worker: WorkerStatus) -> bool:
    """Whether it takes jobs of both lanes just now. Who is held by a run that was killed will be free in seconds."""
    stopped = worker.quarantine or worker.card.closed or (worker.card.limit == 0 and not worker.hold)
    return not stopped


def check_free(status: FleetStatus) -> None:
    """Raises Busy while others have jobs in the fleet: they would wait, and every figure would be wrong."""
    others = sum(load.unfinished for load in status.tenants if load.tenant != SUBMITTER)
    if others:
        jobs = "1 unfinished job" if others == 1 else f"{others} unfinished jobs"
        raise Busy(
            f"The fleet has work of others: {jobs}.",
            hint="Workers would be held while theirs waits. Come back later, or measure all the same with --anyway.",
        )


def check_fits(crew: Crew, wording: Wording) -> None:
    """Raises UsageError where the longest prompt and answer are over what a worker takes."""
    longest = round((1 + SPREAD) * (wording.prompt_tokens + wording.output_tokens))
    takes = min((w.card.context_tokens for w in crew.workers if w.card.context_tokens), default=0)
    if takes and longest > takes:
        raise UsageError(
            f"--prompt-tokens: up to {longest:,} tokens with the answer do not fit; {crew.model} takes {takes:,}.",
            hint="Lengths lie by half around what is given.",
            param="prompt-tokens",
        )


def kinds_of(workers: Iterable[WorkerStatus]) -> tuple[CardKind, ...]:
    """Their cards, those that are alike counted together; clocks are the highest of the kind."""
    cards = {(w.card.host, card.id or card.name): card for w in workers for card in w.card.cards}
    counted = Counter((card.name, card.cap_w) for card in cards.values())
    return tuple(
        CardKind(
            name=name,
            count=number,
            cap_w=cap_w,
            core_mhz=_highest(c.core_mhz for c in cards.values() if (c.name, c.cap_w) == (name, cap_w)),
            memory_mhz=_highest(c.memory_mhz for c in cards.values() if (c.name, c.cap_w) == (name, cap_w)),
        )
        for (name, cap_w), number in counted.items()
    )


def _highest(clocks: Iterable[int | None]) -> int | None:
    return max((clock for clock in clocks if clock is not None), default=None)
