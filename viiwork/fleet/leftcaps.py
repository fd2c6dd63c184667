"""The caps that a power room which was killed left lowered, given back where no other follows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from viiwork.devices import Devices, open_devices
from viiwork.errors import ViiworkError
from viiwork.fleet.capkeeper import CapKeeper, adopted
from viiwork.powerfile import read_power, remove_power

Open = Callable[[str], Devices]


def give_back(state_dir: Path, *, tell: Callable[[str], None], open_cards: Open | None = None) -> None:
    """For whoever has ended the last engine there. What cannot be given back now is kept for whoever comes next."""
    told = read_power(state_dir)
    if told is None:
        return
    if told.before and told.devices and told.at_s <= time.monotonic():  # a start of the host resets them
        try:
            keeper = CapKeeper(
                open_cards(told.devices) if open_cards else open_devices(told.devices, state_dir=state_dir)
            )
            shown = {card.id: card.reading.cap_w for card in keeper.look({"": tuple(told.before)}).cards}
            keeper.before |= adopted(told, shown.get)
            kept = keeper.restore()
        except (ViiworkError, OSError) as error:
            tell(f"Power caps that an earlier run lowered stay as they are: {error}")
            return
        if kept:
            cards = ", ".join(keeper.name_of(card) for card in kept)
            tell(f"The power caps of {cards}, which an earlier run lowered, stay: {next(iter(kept.values()))}")
            return
    remove_power(state_dir)
