"""Whose cards may be in one fleet: those of one maker, for each maker's are numbered from 0."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from viiwork.devices.base import Device
from viiwork.errors import SettingsError

CHIPS = {"gfx": "amd", "sm_": "nvidia"}
"""How the chips of each maker are called."""
CHOOSE = "Choose with --devices amd or --devices nvidia; another fleet may have the others."
SIMULATED = "Name simulated cards of one maker."


def maker_of(chip: str) -> str:
    """Of `gfx906` or `sm_86`; empty where the name does not tell."""
    return next((maker for start, maker in CHIPS.items() if chip.startswith(start)), "")


def check_makers(devices: Sequence[Device]) -> None:
    """A card that this user may not open is in nobody's way. Raises SettingsError."""
    usable = [device for device in devices if device.openable]
    makers = [maker_of(device.arch) if device.vendor == "simulated" else device.vendor for device in usable]
    simulated = any(device.vendor == "simulated" for device in usable)
    whose, hint = ("these are", SIMULATED) if simulated else ("this computer has", CHOOSE)
    check_one_maker(makers, whose=whose, hint=hint, param="devices.spec")


def check_one_maker(makers: Iterable[str], *, whose: str, hint: str, param: str) -> None:
    """`makers` are as `maker_of` has them, one a card. Raises SettingsError."""
    listed = list(makers)
    amd, nvidia = listed.count("amd"), listed.count("nvidia")
    if amd and nvidia:
        told = f"{whose} {amd} of AMD's cards and {nvidia} of NVIDIA's"
        reason = "a fleet uses those of one maker: both are numbered from 0"
        raise SettingsError(f"{told}, and {reason}.", hint=hint, param=param)
