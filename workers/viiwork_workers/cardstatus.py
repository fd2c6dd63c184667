"""What the fleet is told of a worker's cards. Pure."""

from __future__ import annotations

from viiwork.devices import Device, Reading
from viiwork.power.heat import hottest
from viiwork.roster import CardStatus


def status_of(card: Device, reading: Reading) -> CardStatus:
    """One card as it was at the last look."""
    sensor = hottest(reading.temperatures)
    return CardStatus(
        name=card.name,
        id=card.id,
        number=card.index,
        state=reading.state,
        vram_used_bytes=reading.vram_used_bytes,
        vram_total_bytes=card.vram_bytes or None,
        temperature_c=None if sensor is None else sensor.celsius,
        sensor="" if sensor is None else sensor.label,
        critical_c=None if sensor is None else sensor.critical_celsius,
        power_w=reading.power_w,
        cap_w=reading.cap_w,
        core_mhz=reading.core_mhz,
        memory_mhz=reading.memory_mhz,
    )
