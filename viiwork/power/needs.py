"""Whether the settings ask for anything that somebody has to watch. Pure."""

from __future__ import annotations

from viiwork.devices.choose import CPU, NONE
from viiwork.settings import Settings

NO_CARDS = ("", NONE, CPU)


def limits_watts(settings: Settings) -> bool:
    """Whether a budget or a cap is named, in some hours at least."""
    power, hours = settings.power, settings.schedule
    return bool(power.host_watts or power.cap_watts) or any(entry.host_watts or entry.cap_watts for entry in hours)


def caps_cards(settings: Settings) -> bool:
    """Whether the fleet sets its cards' caps: watts are limited, and cards are named."""
    return settings.devices.spec not in NO_CARDS and limits_watts(settings)


def rules(settings: Settings) -> bool:
    """Whether a power room is kept; without a budget, a cap or hours there is nothing for it to do."""
    return bool(settings.schedule) or caps_cards(settings)


def in_vain(settings: Settings) -> str:
    """What to say of limits that nobody can keep; empty where there are none."""
    if caps_cards(settings) or not limits_watts(settings):
        return ""
    told = "a power budget or cap is set, and no cards are named: nothing keeps the machine to it."
    return f"{told} Start it with --devices auto."
