"""Settings that are read and checked, and that no process acts on yet: whoever relies on them must hear it. Pure."""

from __future__ import annotations

from viiwork.settings import Settings


def unheeded(settings: Settings) -> list[str]:
    """What to say of the limits that nothing keeps the machine to."""
    power = settings.power
    limits = {"power.host_watts": power.host_watts, "power.cap_watts": power.cap_watts, "schedule": settings.schedule}
    named = [name for name, limit in limits.items() if limit]
    if not named:
        return []
    told = f"nothing keeps the cards to {' and '.join(named)} yet: these settings are only read."
    return [f"{told} `viiwork power set WATTS --all` sets caps, anew after each start of the driver."]
