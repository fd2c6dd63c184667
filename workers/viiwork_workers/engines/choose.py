"""The engine that the settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from viiwork.devices import Device, open_devices
from viiwork.devices.choose import CPU, NONE
from viiwork.errors import StartupError
from viiwork.recipes.cards import numbers
from viiwork.recipes.check import Checked, built_in_alias, check_engine
from viiwork.recipes.launch import CLEARING_S, Launch
from viiwork.recipes.launching import Place, home_of, make_launch, scratch_of, usable_cpus
from viiwork.recipes.parallel import told
from viiwork.settings import Settings
from viiwork.variables import WORKER_CARDS
from viiwork_workers.engines.base import Engine, EngineFacts
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.noop import NoopEngine
from viiwork_workers.engines.seat import CardSeat
from viiwork_workers.engines.seated import SeatedEngine, VramBytes, no_vram
from viiwork_workers.orders import orders_of

if TYPE_CHECKING:
    from viiwork_workers.engines.simulated.card_model import CardModel

EXTRACTIVE_MODEL = "extractive-preview"
NOOP_MODEL = "noop"
SIMULATED_SLOTS = 16


def make_engine(settings: Settings, *, card: str, environ: Mapping[str, str] | None = None) -> Engine:
    """An engine that is not loaded yet, for the worker `card`: `gpu0`, `gpu0+gpu1`, `cpu0`.

    `environ` is what an engine of its own process may inherit from; by default ours. Raises SettingsError,
    StartupError, NotFound or UsageError, each in one line.
    """
    environ = os.environ if environ is None else environ
    if settings.devices.spec in ("", NONE, CPU) or not numbers(card):
        return _engine(settings, card, environ)
    return _seated(settings, card, environ)


def _seated(settings: Settings, worker: str, environ: Mapping[str, str]) -> Engine:
    """One whose cards are watched, and that is made anew when they were away."""
    ids = tuple(filter(None, environ.get(WORKER_CARDS, "").split(",")))
    devices = open_devices(settings.devices.spec, state_dir=settings.state_dir)
    seat = CardSeat(devices, numbers(worker), ids=ids)
    return SeatedEngine(
        lambda: _engine(settings, worker, environ, seat.cards()),
        seat,
        vram_bytes=_vram_bytes(settings, worker, environ),
        orders=orders_of(settings, worker, environ=environ),
    )


def _engine(settings: Settings, worker: str, environ: Mapping[str, str], cards: tuple[Device, ...] = ()) -> Engine:
    slots = settings.engine.slots
    match settings.engine.kind:
        case "extractive":
            return _extractive(settings)
        case "simulated":
            return _simulated(settings, worker, environ)
        case "noop":
            return NoopEngine(model=built_in_alias(settings, NOOP_MODEL), slots=slots or 32)
        case _:
            return _server(settings, worker, environ, cards)


def _extractive(settings: Settings) -> Engine:
    from viiwork_workers.engines.extractive.engine import ExtractiveEngine  # noqa: PLC0415 - numpy: 13 MB, for it alone

    return ExtractiveEngine(model=built_in_alias(settings, EXTRACTIVE_MODEL), slots=settings.engine.slots or 2)


def _simulated(settings: Settings, worker: str, environ: Mapping[str, str]) -> Engine:
    """In the worker's own process, or in one that can be killed as a real engine can."""
    # Here and not above: the tokenizers are 8 MB that no other engine needs.
    from viiwork_workers.engines.simulated.engine import SimulatedEngine, simulated_facts  # noqa: PLC0415
    from viiwork_workers.engines.simulated.frames import Begin  # noqa: PLC0415
    from viiwork_workers.engines.simulated.hosted import HostedEngine  # noqa: PLC0415

    engine = settings.engine
    card = _simulated_card(settings, worker, environ)
    model, slots = built_in_alias(settings, card.alias), engine.slots or SIMULATED_SLOTS
    if not engine.process:
        return SimulatedEngine(model=model, slots=slots, time_scale=engine.time_scale, card=card)
    begin = Begin(model=model, slots=slots, time_scale=engine.time_scale, poison=engine.poison, card=card)
    return HostedEngine(simulated_facts(model=model, slots=slots, card=card), begin)


def _simulated_card(settings: Settings, worker: str, environ: Mapping[str, str]) -> CardModel:
    """Of the model that was planned, on so many cards; where nobody planned, Mistral-7B on one."""
    from viiwork_workers.engines.simulated.card_model import MISTRAL_7B  # noqa: PLC0415 - as above

    parallel, engine = told(environ), settings.engine
    if parallel is None or not engine.model:
        return MISTRAL_7B
    from viiwork_workers.engines.simulated.planned_card import planned_card  # noqa: PLC0415 - for planned ones alone

    alias = built_in_alias(settings, engine.model)
    return planned_card(settings, parallel, worker=worker, alias=alias, slots=engine.slots or SIMULATED_SLOTS)


def _vram_bytes(settings: Settings, worker: str, environ: Mapping[str, str]) -> VramBytes:
    if settings.engine.kind != "simulated":
        return no_vram
    return _simulated_card(settings, worker, environ).vram_used_bytes


def _server(settings: Settings, worker: str, environ: Mapping[str, str], cards: tuple[Device, ...]) -> Engine:
    """A program of others, that a guard starts and looks after."""
    from viiwork_workers.engines.server.dialects import CANNOT  # noqa: PLC0415 - as below
    from viiwork_workers.engines.server.engine import ServerEngine  # noqa: PLC0415 - aiohttp: 9 MB and 0.1 s, for these alone

    checked = check_engine(settings, worker=worker, environ=environ)
    launch = launch_of(settings, checked, worker=worker, environ=environ, cards=cards)
    facts = replace(facts_of(checked, launch), cannot=CANNOT.get(launch.dialect, frozenset()))
    return ServerEngine(facts, launch, FollowedKeeper(launch, state_dir=settings.state_dir))


def launch_of(
    settings: Settings,
    checked: Checked,
    *,
    worker: str,
    environ: Mapping[str, str],
    cards: tuple[Device, ...] = (),
) -> Launch:
    """How the guard is to start it. Makes the folder that the engine may use. Raises StartupError."""
    scratch = scratch_of(settings.state_dir, worker)
    try:
        scratch.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # `mode` is of the last folder alone
        for folder in (scratch, home_of(settings.state_dir)):
            folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be used"
        raise StartupError(f"{scratch}: {reason}.") from error
    workers = settings.workers
    engines = workers.gpus if numbers(worker) else workers.cpus
    place = Place(
        environ=environ,
        state_dir=settings.state_dir,
        engines=engines,
        cpus=usable_cpus(),
        ram_bytes=psutil.virtual_memory().total,
        cards=cards,
        parallel=told(environ),
    )
    return make_launch(
        checked.recipe,
        settings.engine,
        worker=worker,
        alias=checked.alias,
        model=checked.model,
        place=place,
        program=checked.program,
        name=checked.name,
        vessel=checked.vessel,
    )


def facts_of(checked: Checked, launch: Launch) -> EngineFacts:
    """What the worker tells the fleet of it."""
    from viiwork.placement.identity import Identity, identify  # noqa: PLC0415 - for engines with a model alone

    identity = identify(Path(checked.model.path), launch.argv) if checked.model.path else Identity()
    return EngineFacts(
        name=launch.title,
        model=checked.alias,
        slots=launch.slots,
        context_tokens=launch.context_tokens,
        tokenizer=checked.model.tokenizer,
        end_s=launch.stop_grace_s + CLEARING_S,
        revision=identity.revision,
        quantization=identity.quantization,
    )
