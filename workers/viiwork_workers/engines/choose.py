"""The engine that the settings name."""

from __future__ import annotations

from viiwork.errors import SettingsError
from viiwork.settings import EngineSection
from viiwork_workers.engines.base import Engine
from viiwork_workers.engines.card_model import MISTRAL_7B
from viiwork_workers.engines.extractive import ExtractiveEngine
from viiwork_workers.engines.frames import Begin
from viiwork_workers.engines.hosted import HostedEngine
from viiwork_workers.engines.noop import NoopEngine
from viiwork_workers.engines.simulated import SimulatedEngine, simulated_facts

EXTRACTIVE_MODEL = "extractive-preview"
NOOP_MODEL = "noop"


def make_engine(settings: EngineSection, *, card: str) -> Engine:
    """An engine that is not loaded yet. `card` says which card it gets, such as `gpu0`; none of these needs it."""
    del card
    match settings.kind:
        case "extractive":
            return ExtractiveEngine(model=settings.model or EXTRACTIVE_MODEL, slots=settings.slots or 2)
        case "simulated":
            return _simulated(settings)
        case "noop":
            return NoopEngine(model=settings.model or NOOP_MODEL, slots=settings.slots or 32)
        case unknown:
            raise SettingsError(f"engine.kind: there is no engine {unknown}.", hint="See docs/engines.md.")


def _simulated(settings: EngineSection) -> Engine:
    """In the worker's own process, or in one that can be killed as a real engine can."""
    model, slots = settings.model or MISTRAL_7B.alias, settings.slots or 16
    if not settings.process:
        return SimulatedEngine(model=model, slots=slots, time_scale=settings.time_scale)
    begin = Begin(model=model, slots=slots, time_scale=settings.time_scale, poison=settings.poison)
    return HostedEngine(simulated_facts(model=model, slots=slots), begin)
