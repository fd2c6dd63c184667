"""What `viiwork doctor` must know of this computer's cards, gathered by looking alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from viiwork.devices import Device, Reading, open_devices
from viiwork.devices.access import device_file, this_person
from viiwork.devices.amd import KFD
from viiwork.devices.amd_system import boot_words, driver_loaded, iommu_of, iommu_on, on_bus, rocm_version
from viiwork.devices.choose import AUTO, SIMULATED
from viiwork.devices.holders import Holder, vram_holders
from viiwork.devices.host import ROOT, Host
from viiwork.devices.simulated import FOLDER, SimulatedDevices, simulation
from viiwork.doctor import CardFacts, CardsFacts, SimulatedFacts
from viiwork.errors import SettingsError, ViiworkError
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.plan import engine_names
from viiwork.fleet.running import running_here, simulated_cards
from viiwork.guardrecord import read_records
from viiwork.processes import is_alive
from viiwork.recipes.cards import AMD_PIN, numbers, seen_cards
from viiwork.recipes.check import BUILT_IN
from viiwork.recipes.load import recipe_for
from viiwork.settings import Settings

OVERRIDE = "HSA_OVERRIDE_GFX_VERSION"


def cards_facts(settings: Settings, environ: Mapping[str, str], *, root: Path = ROOT) -> CardsFacts:
    """Every card, how it stands to this user and who holds it; without one, what was looked for."""
    host, person = Host(root), this_person()
    source = open_devices(AUTO, state_dir=settings.state_dir, root=root)
    found = source.found()
    engines = engine_processes(settings.state_dir)
    pin, wanted = wish(settings)
    amd = [device for device in found if device.vendor == "amd"]
    holders = vram_holders(host, amd)
    return CardsFacts(
        engine=settings.engine.kind,
        args=settings.engine.args,
        gpus=settings.workers.gpus,
        wanted=wanted,
        wants_amd=pin == AMD_PIN or (bool(pin) and len(amd) == len(found)),
        open=seen_cards(pin, root=root) if pin else 0,
        running=bool(engines),
        cards=tuple(
            card_facts(host, device, source.read(device), holders.get(device.id, ()), engines) for device in found
        ),
        why_none=source.why_none(),
        on_bus=on_bus(host),
        driver=driver_loaded(host),
        kfd=device_file(host, KFD, person),
        nodes=tuple(
            device_file(host, f"/dev/dri/renderD{device.render_minor}", person)
            for device in amd
            if device.render_minor is not None
        ),
        user=person.name,
        iommu_on=iommu_on(host),
        boot_words=boot_words(host),
        rocm=rocm_version(host),
        gfx_override=environ.get(OVERRIDE, ""),
    )


def card_facts(
    host: Host, device: Device, reading: Reading, holders: tuple[Holder, ...], engines: frozenset[int]
) -> CardFacts:
    """One card; its holders are this fleet's engines or strangers."""
    return CardFacts(
        device,
        reading,
        strangers=tuple(holder for holder in holders if holder.pid not in engines),
        ours_bytes=sum(holder.vram_bytes for holder in holders if holder.pid in engines),
        iommu=iommu_of(host, device.pci) if device.vendor == "amd" else "",
    )


def simulated_facts(settings: Settings) -> SimulatedFacts | None:
    """Those that the settings name, else those of the fleet that runs here. Raises UsageError for a word without sense.

    What is named goes first: `doctor --devices` asks for another fleet than the one that runs.
    """
    run, spec = running_here(settings.state_dir), settings.devices.spec
    chosen = spec if spec.startswith(SIMULATED) else simulated_cards(run)
    if not chosen:
        return None
    written = chosen.removeprefix(SIMULATED)
    source = SimulatedDevices(written, settings.state_dir)
    found = source.found()
    there = {f"gpu{device.index}" for device in found}
    every = [f"gpu{number}" for number in range(len(simulation(written)[0]))]
    return SimulatedFacts(
        spec=chosen,
        fleet=run.fleet if run is not None and chosen == simulated_cards(run) else "",
        folder=str(settings.state_dir / FOLDER),
        cards=tuple(CardFacts(device, source.read(device)) for device in found),
        lost=tuple(name for name in every if name not in there),
    )


def wish(settings: Settings) -> tuple[str, int]:
    """The variable by which the engines are shown their cards, and how many they want; built-in ones want none."""
    kind, workers = settings.engine.kind, expected(settings)
    if kind in BUILT_IN or not workers:
        return "", 0
    try:
        pin = recipe_for(kind, workers[0]).pin
    except SettingsError:  # which the check of the engine tells
        return "", 0
    return pin, sum(len(numbers(worker)) for worker in workers) if pin else 0


def expected(settings: Settings) -> tuple[str, ...]:
    """The engine workers; one card is wanted where those that the settings name are not there."""
    try:
        return engine_names(settle_cards(settings))
    except ViiworkError:  # which the check of the engine tells
        return ("gpu0",)


def engine_processes(state_dir: Path) -> frozenset[int]:
    """Those of this fleet's engines that run, by what their guards wrote down."""
    people = (person for record in read_records(state_dir).values() for person in record.people)
    return frozenset(pid for pid, who in people if is_alive(pid, who) and pid != os.getpid())
