"""A look at the cards every second or two, on a thread of its own: a driver in trouble holds up nobody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from viiwork.devices import Device, Devices, open_devices
from viiwork.placement.cards import PlanCard, cards_of
from viiwork.settings import Settings

log = logging.getLogger(__name__)
EVERY_S = 1.5


class CardWatch:
    """What was seen last. Cards keep the number that they were first seen with: a driver's may change."""

    def __init__(self, devices: Devices, known: Mapping[str, PlanCard], *, most: int, every_s: float = EVERY_S) -> None:
        """`known` are the cards of the first plan; those with numbers from `most` on are not this fleet's."""
        self._devices = devices
        self._most = most
        self._every_s = every_s
        self._indices = {card.id: card.index for card in known.values()}
        self._found: dict[str, Device] = {}
        self._seen: Mapping[str, PlanCard] = dict(known)
        self._over = threading.Event()

    def start(self) -> None:
        """Begin to look. The thread is a daemon: one that hangs in a driver must not keep the fleet from ending."""
        threading.Thread(target=self._look_on, name="cards", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def seen(self) -> Mapping[str, PlanCard]:
        """By identity; of a card that is away its trouble."""
        return self._seen

    def _look_on(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                self._seen = self.look()
            except Exception as error:  # noqa: BLE001 - whatever a driver's library raises, the next look may succeed
                log.warning("the cards could not be looked at (%s)", type(error).__name__)

    def look(self) -> dict[str, PlanCard]:
        """Once."""
        self._found |= {device.id: device for device in self._devices.found() if device.openable}
        now = {card.id: card for card in cards_of((one, self._devices.read(one)) for one in self._found.values())}
        there = {name: replace(card, index=self._index(card)) for name, card in now.items()}
        lost = {name: replace(card, trouble=LOST) for name, card in self._seen.items() if name not in there}
        return {name: card for name, card in (there | lost).items() if 0 <= card.index < self._most}

    def _index(self, card: PlanCard) -> int:
        """The first that it had; the next free one where another card has that."""
        if card.id not in self._indices:
            taken = set(self._indices.values())
            free = next(number for number in range(len(taken) + 1) if number not in taken)
            self._indices[card.id] = free if card.index in taken else card.index
        return self._indices[card.id]


LOST = "it has left the bus"


def card_watch(settings: Settings, known: Mapping[str, PlanCard]) -> CardWatch | None:
    """Who looks at the cards that a plan was made for; None where there is no plan that they could change."""
    if not known:
        return None
    devices = open_devices(settings.devices.spec, state_dir=settings.state_dir)
    return CardWatch(devices, known, most=settings.workers.gpus)
