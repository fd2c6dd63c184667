"""The cards of a fleet as its power room sees them: what each draws, and writing caps that go back in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.devices import Device, Devices, Reading
from viiwork.devices.caps import SUDO, set_each
from viiwork.devices.host import ROOT
from viiwork.errors import ViiworkError
from viiwork.power.budget import IDLE_W, PoweredCard
from viiwork.power.control import NEAR_W
from viiwork.power.heat import Heat, heats_of
from viiwork.powerfile import PowerFile

Placements = Mapping[str, tuple[str, ...]]
"""Each engine worker's cards, by their identities; none where they are not known."""


@dataclass(frozen=True, slots=True)
class Sight:
    """All cards at one look."""

    cards: tuple[PoweredCard, ...]
    """The fleet's."""
    hot: frozenset[str]
    others_w: float
    """What the machine's other cards draw; one that does not tell counts as at rest, for nobody here works it."""


class CapKeeper:
    """Looks at cards and writes caps. `before`: the caps that the cards had before anybody of this fleet wrote one."""

    def __init__(
        self,
        devices: Devices,
        *,
        before: Mapping[str, float] | None = None,
        root: Path = ROOT,
        sudo: tuple[str, ...] = SUDO,
    ) -> None:
        self._devices = devices
        self._root = root
        self._sudo = sudo
        self.before = dict(before or {})
        self.wrote: dict[str, float] = {}
        self._known: dict[str, Device] = {}
        self._capped: set[str] = set()
        """Cards that have told a cap: one in reset tells none, and is none that cannot be capped."""
        self._refused: set[str] = set()
        self._heats: Mapping[str, Heat] = {}

    def look(self, placements: Placements) -> Sight:
        """Every card as it is now."""
        self._known |= {device.id: device for device in self._devices.found()}
        readings = {name: self._devices.read(device) for name, device in self._known.items()}
        self._capped |= {name for name, reading in readings.items() if reading.cap_w}
        engines = {card: worker for worker, cards in placements.items() for card in cards}
        ours = {name: reading for name, reading in readings.items() if name in engines}
        self._heats = heats_of(ours.items(), before=self._heats)
        hot = frozenset(name for name, heat in self._heats.items() if heat.level == "hot")
        others_w = sum(_rest_w(reading) for name, reading in readings.items() if name not in ours)
        cards = (PoweredCard(name, engines[name], reading, self._writable(name)) for name, reading in ours.items())
        return Sight(tuple(cards), hot, others_w)

    def note(self, wanted: Mapping[str, float]) -> None:
        """These are to be written; keep what the cards have, of those that were noted before what they had then."""
        self.wrote |= wanted
        for name in wanted:
            self.before.setdefault(name, self._devices.read(self._known[name]).cap_w or 0.0)

    def write(self, wanted: Mapping[str, float]) -> dict[str, ViiworkError]:
        """Write these caps; answers why not, by card. One that refuses is not asked again."""
        self.note(wanted)
        refused = set_each(self._devices, self._orders(wanted), root=self._root, sudo=self._sudo)
        found = {name: error for name, error in refused.items() if self._lacks(name, wanted[name])}
        self._refused |= set(found)
        return found

    def restore(self) -> dict[str, ViiworkError]:
        """Give each card the cap back that it had; answers why not, by card."""
        there = {device.id for device in self._devices.found()}
        back = {name: cap for name, cap in self.before.items() if name in there and self._lacks(name, cap)}
        return set_each(self._devices, self._orders(back), root=self._root, sudo=self._sudo)

    def name_of(self, card: str) -> str:
        """For people: `gpu2`."""
        device = self._known.get(card)
        return card if device is None or device.index < 0 else f"gpu{device.index}"

    def _orders(self, watts: Mapping[str, float]) -> dict[Device, int]:
        return {self._known[name]: round(cap) for name, cap in watts.items() if name in self._known}

    def _lacks(self, card: str, cap_w: float) -> bool:
        """Whether it is well and has another cap: a card in reset refuses everything, and is none that cannot."""
        if card not in self._known:
            return False
        reading = self._devices.read(self._known[card])
        return reading.state == "ok" and (reading.cap_w is None or abs(reading.cap_w - cap_w) > NEAR_W)

    def _writable(self, card: str) -> bool:
        return card in self._capped and card not in self._refused


def adopted(told: PowerFile, shown: Callable[[str], float | None]) -> dict[str, float]:
    """What a power room that was killed had found, of the cards that still have the caps that it wrote."""
    found = {}
    for card, cap_w in told.before.items():
        now_w, wrote = shown(card), (told.caps.get(card), told.wrote.get(card))
        if now_w is not None and any(each is not None and abs(now_w - each) <= NEAR_W for each in wrote):
            found[card] = cap_w
    return found


def _rest_w(reading: Reading) -> float:
    if reading.state == "gone":
        return 0.0
    return IDLE_W if reading.power_w is None else reading.power_w
