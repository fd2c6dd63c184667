"""From the settings and the cards that are there to who works where."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.devices import Devices, open_devices
from viiwork.devices.host import ROOT
from viiwork.errors import NothingFits
from viiwork.fleet.berths import Berth, planned, unplanned
from viiwork.fleet.cards import card_ids, settle_cards
from viiwork.fleet.plan import engine_names
from viiwork.fleet.swapped import read_swaps, with_swaps
from viiwork.fleet.wanted import Wanted, planned_for, utilization_of, wanted_models
from viiwork.placement.cards import PlanCard, cards_of
from viiwork.placement.grouping import Bounds
from viiwork.placement.plan import Plan, plan
from viiwork.placement.shape import ModelShape
from viiwork.placement.support import Support, supported
from viiwork.recipes.check import BUILT_IN, check_fleet
from viiwork.settings import Settings


@dataclass(frozen=True, slots=True)
class Posting:
    """Who works where, and why so."""

    berths: tuple[Berth, ...]
    wanted: tuple[Wanted, ...] = ()
    cards: tuple[PlanCard, ...] = ()
    """Those that the plan was made for."""
    plan: Plan | None = None
    """None where each card, or each worker of the CPU, simply gets the one model."""

    def remarks(self) -> tuple[str, ...]:
        """What does not fit, and what is to be known of the rest."""
        if self.plan is None:
            return ()
        return (*(refusal.told for refusal in self.plan.refusals), *self.plan.warnings)


def post(settings: Settings, *, root: Path = ROOT) -> Posting:
    """For settled settings (`settle_cards`); what does not fit stays in the plan's refusals.

    Raises NothingFits, and SettingsError, NotFound or UsageError for what cannot be served at all.
    """
    wanted, server = wanted_models(settings), planned_for(settings)
    if server is None or any(each.wish is None for each in wanted):
        names, ids = engine_names(settings), card_ids(settings, root=root)
        return Posting(unplanned(settings, names, ids), wanted)
    cards = usable_cards(settings, root=root)
    made = plan_of(settings, wanted, cards)
    if not made.placements:
        raise NothingFits(" ".join(refusal.told for refusal in made.refusals))
    return Posting(planned(made.placements, wanted, server=server), wanted, cards, made)


def check_posting(settings: Settings, *, environ: Mapping[str, str]) -> None:
    """Whether the fleet could be started, as far as looking can tell. Raises as `post` does, and StartupError."""
    settled = settle_cards(with_swaps(settings, read_swaps(settings.state_dir)))
    check_engines(settled, wanted_models(settled), environ=environ)
    post(settled)


def check_engines(settings: Settings, wanted: Sequence[Wanted], *, environ: Mapping[str, str] = os.environ) -> None:
    """Whether the engine of each could be started, as far as looking can tell. Raises as `check_fleet` does."""
    for each in wanted:
        check_fleet(settings.model_copy(update={"engine": each.engine}), engine_names(settings), environ=environ)


def plan_of(settings: Settings, wanted: Sequence[Wanted], cards: Sequence[PlanCard]) -> Plan:
    """The best plan for these cards."""
    wishes, bounds = [each.wish for each in wanted if each.wish is not None], bounds_of(settings)
    return plan(wishes, cards, engine=bounds.engine, utilization=bounds.utilization, known=Known.of(settings))


def bounds_of(settings: Settings) -> Bounds:
    """What holds for every group of cards."""
    return Bounds(engine=planned_for(settings) or "vllm", utilization=utilization_of(settings))


@dataclass(frozen=True, slots=True)
class Known:
    """What is known to work with one engine."""

    engine: str

    @classmethod
    def of(cls, settings: Settings) -> Known | None:
        """None for an engine of ours, which runs no model."""
        return None if settings.engine.kind in BUILT_IN else cls(settings.engine.kind)

    def __call__(self, shape: ModelShape, arch: str) -> Support:
        return supported(shape, engine=self.engine, arch=arch)


def usable_cards(settings: Settings, *, root: Path = ROOT) -> tuple[PlanCard, ...]:
    """The cards that the settings name, each with how it is now."""
    return cards_in(settings, open_devices(settings.devices.spec, state_dir=settings.state_dir, root=root))


def cards_in(settings: Settings, devices: Devices) -> tuple[PlanCard, ...]:
    """Of those that are there, the first `workers.gpus`; those that may not be opened have no number."""
    seen = [(device, devices.read(device)) for device in devices.found() if device.openable]
    return tuple(card for card in cards_of(seen) if card.index < settings.workers.gpus)
