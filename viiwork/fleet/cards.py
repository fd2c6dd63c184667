"""Which cards the fleet's workers get, settled before anything starts: from what the settings name to a number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from viiwork.devices import Device, Devices, Vendor, open_devices
from viiwork.devices.choose import CPU, NONE
from viiwork.devices.host import ROOT
from viiwork.devices.makers import check_makers
from viiwork.errors import SettingsError, StartupError
from viiwork.recipes.cards import AMD_PIN
from viiwork.recipes.check import BUILT_IN
from viiwork.recipes.load import is_path, known_recipes, recipe_for
from viiwork.settings import Settings

REAL: tuple[Vendor, ...] = ("amd", "nvidia")
SPEC = "devices.spec"


def settle_cards(settings: Settings, *, root: Path = ROOT) -> Settings:
    """The settings with `workers.gpus` as many as there are cards to use; as they are where no cards are named.

    Raises SettingsError for cards that cannot be worked with, StartupError where there are none, UsageError for a name
    that says nothing.
    """
    spec = settings.devices.spec
    if not spec:
        return settings
    devices = open_devices(spec, state_dir=settings.state_dir, root=root)
    count = 0 if spec in (NONE, CPU) else _count(settings, devices)
    return settings.model_copy(update={"workers": settings.workers.model_copy(update={"gpus": count})})


def _count(settings: Settings, devices: Devices) -> int:
    """A simulated card that is off the bus keeps its number: it gets a worker, which waits for it."""
    spec, wanted, found = settings.devices.spec, settings.workers.gpus, devices.found()
    check_makers(found)
    there = 1 + max((device.index for device in found if device.openable), default=-1)
    if not there:
        raise _nothing_to_use(spec, found, devices.why_none())
    if wanted > there:
        hint = f"Start it with --gpus {there}, or without --gpus for all of them."
        raise SettingsError(f"{wanted} cards are wanted, and {spec} has {there}.", hint=hint, param="workers.gpus")
    check_engine_fits(settings, found)
    return wanted or there


def card_ids(settings: Settings, *, root: Path = ROOT) -> dict[str, str]:
    """The identity of each card that is there, by its worker's name; nothing where no cards are named.

    A worker that is started again after another card was lost must not take that one's neighbour for its own.
    """
    if settings.devices.spec in ("", NONE, CPU):
        return {}
    devices = open_devices(settings.devices.spec, state_dir=settings.state_dir, root=root)
    return {f"gpu{device.index}": device.id for device in devices.found() if device.openable}


def _nothing_to_use(spec: str, found: Sequence[Device], why: str) -> StartupError:
    if found:
        names = ", ".join(device.pci or device.name for device in found)
        hint = "Add the user to the groups video and render."
        return StartupError(f"this user may open none of the cards ({names}).", hint=hint)
    return StartupError(f"{spec}: no cards were found. {' '.join(why.splitlines())}", hint="See `viiwork gpus`.")


def check_engine_fits(settings: Settings, found: Sequence[Device]) -> None:
    """A real engine finds nothing where a simulated card is said to be, or another maker's. Raises SettingsError."""
    kind, maker = settings.engine.kind, next(device.vendor for device in found if device.openable)
    if kind in BUILT_IN or not (is_path(kind) or kind in known_recipes()):
        return  # of one that nobody knows is told when all of it is checked
    pin = recipe_for(kind, "gpu0").pin
    if pin and maker not in REAL:
        hint = "Take --engine simulated with them, or --devices auto."
        raise SettingsError(f"{kind} needs real cards, and these are simulated.", hint=hint, param=SPEC)
    if pin == AMD_PIN and maker != "amd":
        told = f"{kind} runs on AMD's cards, and these are NVIDIA's."
        raise SettingsError(told, hint="Take --engine vllm.", param="engine.kind")
