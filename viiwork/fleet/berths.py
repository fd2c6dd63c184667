"""Who works where: each engine worker with its cards, its model, and how that lies on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from viiwork.fleet.wanted import Wanted
from viiwork.placement.plan import Placement
from viiwork.placement.split import Server
from viiwork.recipes.parallel import Parallel
from viiwork.settings import EngineSection, Settings
from viiwork.variables import WORKER_CARDS, WORKER_SPLIT


@dataclass(frozen=True, slots=True)
class Berth:
    """One engine worker."""

    name: str
    """`gpu0`, `gpu2+gpu3`, `cpu0`."""
    engine: EngineSection
    cards: tuple[str, ...] = ()
    """The identities of its cards, where they are known: their numbers may be others when it is started again."""
    parallel: Parallel | None = None
    """Where that was planned."""


def unplanned(settings: Settings, names: Iterable[str], ids: Mapping[str, str]) -> tuple[Berth, ...]:
    """A worker each, all alike. `ids` are the identities of cards by their workers' names."""
    return tuple(Berth(name, settings.engine, (ids[name],) if name in ids else ()) for name in names)


def planned(placements: Iterable[Placement], wanted: Iterable[Wanted], *, server: Server) -> tuple[Berth, ...]:
    """A worker a placement, in the order of its first card."""
    sections = {each.wish.shape.name: each.engine for each in wanted if each.wish is not None}
    in_order = sorted(placements, key=lambda each: min(card.index for card in each.cards))
    return tuple(_berth(each, sections[each.model], server) for each in in_order)


def worker_env(berth: Berth) -> dict[str, str]:
    """What is its own in a worker's environment, beside its engine's settings."""
    env = {WORKER_CARDS: ",".join(berth.cards)} if berth.cards else {}
    return env | ({WORKER_SPLIT: str(berth.parallel)} if berth.parallel else {})


def _berth(placement: Placement, section: EngineSection, server: Server) -> Berth:
    own: dict[str, object] = {"context_tokens": placement.max_model_len}
    if server == "llama.cpp":  # its context is shared out among the slots: no more than fit at full length
        own["slots"] = max(1, placement.fit.in_flight)
    return Berth(
        name=placement.name,
        engine=section.model_copy(update=own),
        cards=tuple(card.id for card in placement.cards),
        parallel=Parallel(placement.tp, placement.pp),
    )
