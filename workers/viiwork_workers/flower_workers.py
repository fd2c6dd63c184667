"""The columns that VIIWork adds to Flower's workers: the model, its slots, its cards and what holds it back."""

from __future__ import annotations

from typing import Any

from flower.views.workers import WorkersView
from tornado.escape import xhtml_escape

from viiwork import cardwords
from viiwork.errors import StoreUnavailable
from viiwork.roster import WorkerStatus
from viiwork.telemetry import newest

Cells = dict[str, str]


def cells(worker: WorkerStatus) -> Cells:
    """One worker's cells as HTML, by the names of `flower_templates/workers.html`; a line a card."""
    card = worker.card
    return {
        "model": xhtml_escape(card.model),
        "slots": cardwords.slots(worker),
        "kv": cardwords.share(card.kv_use),
        "tokens": cardwords.whole(card.tokens_per_s),
        "cards": _lines(f"{cardwords.number(one)} {one.name}" for one in card.cards),
        "vram": _lines(cardwords.memory(one.vram_used_bytes, one.vram_total_bytes) for one in card.cards),
        "heat": _lines(map(cardwords.warmth, card.cards)),
        "watts": _lines(map(cardwords.power, card.cards)),
        "brakes": _lines(cardwords.brakes(worker)),
    }


def _lines(words: Any) -> str:
    return "<br>".join(map(xhtml_escape, words)) or cardwords.UNKNOWN


class Workers(WorkersView):  # type: ignore[misc] # flower is untyped
    """Flower's own page, asked for once a second by whoever looks at it."""

    async def get(self) -> None:
        self._cells = await self._read() if self.get_argument("json", default=False, type=bool) else {}
        await super().get()

    def write(self, chunk: Any) -> None:
        """Flower writes what it knows of its workers in one go."""
        if isinstance(chunk, dict) and "data" in chunk:
            chunk = {"data": [row | self._cells.get(row.get("hostname"), {}) for row in chunk["data"]]}
        super().write(chunk)

    async def _read(self) -> dict[str, Cells]:
        """By worker; nothing while Redis is away, and the page has dashes then."""
        try:
            fleet = await self.application.store.fleet()
        except StoreUnavailable:
            return {}
        return {worker.card.name: cells(worker) for worker in newest(fleet.workers)}
