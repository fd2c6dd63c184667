"""The cards that one worker sits on: whether they are there, and, of simulated ones, what it does with them."""

from __future__ import annotations

import logging
from typing import Protocol

from viiwork.devices import Device, Devices, State
from viiwork.devices.simulated import SimulatedDevices
from viiwork.errors import UsageError

log = logging.getLogger(__name__)


class Seat(Protocol):
    """What a card's worker asks and tells. Both may take long where a driver is in trouble."""

    def look(self) -> State:
        """The worst of its cards."""
        ...

    def tell(self, load: float, *, vram_used_bytes: int) -> None:
        """How busy the worker keeps them, 0 to 1."""
        ...


class CardSeat:
    """The cards of these identities, else of these numbers; once they were seen they are known by who they are.

    The numbers of a machine's cards change when one comes or goes.
    """

    def __init__(self, devices: Devices, numbers: tuple[int, ...], *, ids: tuple[str, ...] = ()) -> None:
        self._devices = devices
        self._numbers = numbers
        self._ids = ids
        self._cards: tuple[Device, ...] = ()
        self._told = True

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
        states = {self._devices.read(card).state for card in cards} if cards else {"gone"}
        if "gone" in states:
            self._cards = ()
            return "gone"
        return "resetting" if "resetting" in states else "ok"

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
        try:
            for card in self._cards:
                self._devices.put_load(card, load, vram_used_bytes=vram_used_bytes)
            self._told = True
        except (UsageError, OSError) as error:
            if self._told:  # once, and not every second
                log.warning("the simulated card is not told its load: %s", type(error).__name__)
            self._told = False
