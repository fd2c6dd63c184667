"""Which worker of the fleet that runs on this computer has which card, by what the fleet's service says."""

from __future__ import annotations

from collections.abc import Mapping

from viiwork.client import Client
from viiwork.errors import ViiworkError
from viiwork.roster import FleetStatus, WorkerStatus
from viiwork.settings import Settings
from viiwork.statedir import StateDir

PATIENCE_S = 2.0
"""Cards are shown also while the service is slow, or has just gone."""

Holders = Mapping[str, WorkerStatus]
"""By the card's identity."""


def holders_here(settings: Settings) -> Holders:
    """Nothing where no fleet runs, or its service does not answer."""
    run = StateDir(settings.state_dir).read_run()
    url = run.supervisor.api_url if run and run.supervisor else ""
    if not url:
        return {}
    try:
        with Client(url, retries=0, timeout_s=PATIENCE_S, away_patience_s=0) as client:
            return holders(client.fleet(), host=settings.host)
    except ViiworkError:
        return {}


def holders(fleet: FleetStatus, *, host: str) -> Holders:
    """Of one host: simulated cards are called alike everywhere."""
    here = [worker for worker in fleet.workers if worker.card.host == host]
    return {card.id: worker for worker in here for card in worker.card.cards if card.id}
