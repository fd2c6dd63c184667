"""The cards of a fleet that answers on this computer without a state directory here, such as one in containers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from viiwork.cardwords import brakes
from viiwork.cli.cardholders import PATIENCE_S
from viiwork.cli.fleetcards import cards
from viiwork.cli.screen import one_line, out, print_json, say
from viiwork.client import Client
from viiwork.connection import DEFAULT_URL, is_loopback, without_login
from viiwork.errors import ViiworkError
from viiwork.roster import CardStatus, FleetStatus, WorkerStatus

SIMULATED = "simulated "
"""What the name of a card starts with that is not there."""


def show_told(*, as_json: bool, environ: Mapping[str, str] = os.environ) -> bool:
    """Show what its workers told of their cards last; False where nobody answers here, or has cards."""
    url = environ.get("VIIWORK_URL") or DEFAULT_URL
    status = asked(url)
    if status is None or not cards(status):
        return False
    if as_json:
        for worker in status.workers:
            for card in worker.card.cards:
                print_json(as_object(worker, card))
        return True
    whose = f"of the fleet '{status.fleet}', which answers at {without_login(url)}, as its workers told last"
    say(one_line(f"No cards were found by looking; these are {whose}."))
    out().print(cards(status)[0])
    return True


def asked(url: str) -> FleetStatus | None:
    """Only on this computer: a fleet elsewhere has no cards of this one."""
    try:
        if not is_loopback(url):
            return None
        with Client(url, retries=0, timeout_s=PATIENCE_S, away_patience_s=0) as client:
            return client.fleet()
    except ViiworkError:
        return None


def as_object(worker: WorkerStatus, card: CardStatus) -> dict[str, Any]:
    """As `gpus --json` has a card, as far as a worker tells of it; what it does not is null."""
    warmth = {"label": card.sensor, "celsius": card.temperature_c, "critical_celsius": card.critical_c}
    return {
        "id": card.id,
        "vendor": SIMULATED.strip() if card.name.startswith(SIMULATED) else None,
        "index": card.number,
        "name": card.name,
        "vram_bytes": card.vram_total_bytes,
        "state": card.state,
        "vram_used_bytes": card.vram_used_bytes,
        "temperatures": [warmth] if card.temperature_c is not None else [],
        "power_w": card.power_w,
        "cap_w": card.cap_w,
        "core_mhz": card.core_mhz,
        "memory_mhz": card.memory_mhz,
        "worker": worker.card.name,
        "held_back_by": list(brakes(worker)),
        "drained": None,
    }
