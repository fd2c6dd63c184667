"""The cards that one worker sits on: whether they are there, and, of simulated ones, what it does with them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from viiwork.devices import Device, Devices, Reading, State
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import UsageError

log = logging.getLogger(__name__)
STALE_S = 7.0
"""Figures of a look that was so long ago are not known any more: its driver does not answer, or nobody looked. An idle
worker looks every four seconds."""

RENEW_S = 2.0
"""A simulated card is told the same again after this: telling it is six times the work of looking at it."""

Readings = tuple[tuple[Device, Reading], ...]


class Seat(Protocol):
    """What a card's worker asks and tells. To look and to tell may take long where a driver is in trouble."""

    def look(self) -> State:
        """The worst of its cards."""
        ...

    def tell(self, load: float, *, vram_used_bytes: int) -> None:
        """How busy the worker keeps them, 0 to 1."""
        ...

    def readings(self) -> Readings:
        """Each card as the last look found it, at once; from any thread."""
        ...


class CardSeat:
    """The cards of these identities, else of these numbers; once they were seen they are known by who they are.

    The numbers of a machine's cards change when one comes or goes.
    """

    def __init__(
        self,
        devices: Devices,
        numbers: tuple[int, ...],
        *,
        ids: tuple[str, ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._devices = devices
        self._numbers = numbers
        self._ids = ids
        self._clock = clock
        self._cards: tuple[Device, ...] = ()
        self._seen: tuple[float, Readings] = (clock(), ())
        """When it was looked last, and what was found of each card that was ever there."""
        self._told = True
        self._last_told: tuple[float, int, float] = (-1.0, 0, 0.0)
        """Load, memory, and when."""

    def cards(self) -> tuple[Device, ...]:
        """Those that were found when they were last looked for; none unless all are there."""
        if not self._cards:
            found = self._found()
            self._cards = found if len(found) == len(self._numbers) else ()
            self._ids = tuple(card.id for card in self._cards) or self._ids
        return self._cards

    def look(self) -> State:
        """One that was never there is gone; one that comes back is looked for anew."""
        cards = self.cards()
        known = cards or tuple(card for card, _ in self._seen[1])
        readings = tuple((card, self._devices.read(card)) for card in known)
        self._seen = self._clock(), readings
        states = {reading.state for _, reading in readings} if cards else {"gone"}
        if "gone" in states:
            self._cards = ()
            return "gone"
        return "resetting" if "resetting" in states else "ok"

    def readings(self) -> Readings:
        """Of a look that was too long ago the states alone are left; of a card that was never there, nothing."""
        seen_s, readings = self._seen
        if self._clock() - seen_s <= STALE_S:
            return readings
        return tuple((card, Reading(state=reading.state)) for card, reading in readings)

    def _found(self) -> tuple[Device, ...]:
        """Where a container shows a single card, that is the one, whatever its worker is called."""
        there = [device for device in self._devices.found() if device.openable]
        if self._ids:
            return tuple(device for name in self._ids for device in there if device.id == name)
        if len(there) == len(self._numbers) == 1 and there[0].vendor != "simulated":
            return (there[0],)
        by_number = {device.index: device for device in there}
        return tuple(by_number[number] for number in self._numbers if number in by_number)

    def tell(self, load: float, *, vram_used_bytes: int) -> None:
        """Simulated cards draw power and grow warm by it; real ones know better."""
        if not isinstance(self._devices, SimulatedDevices):
            return
        now_s, (said_load, said_bytes, said_s) = self._clock(), self._last_told
        if (said_load, said_bytes) == (load, vram_used_bytes) and now_s - said_s < RENEW_S:
            return
        try:
            for card in self._cards:
                self._devices.put_load(card, load, vram_used_bytes=vram_used_bytes)
            self._told, self._last_told = True, (load, vram_used_bytes, now_s)
        except (UsageError, OSError) as error:
            if self._told:  # once, and not every second
                log.warning("the simulated card is not told its load: %s", type(error).__name__)
            self._told = False
