"""The cards of a fleet's workers, as `status` and `top` show them."""

from __future__ import annotations

from rich.table import Table

from viiwork import cardwords
from viiwork.cli.screen import one_line, plain
from viiwork.roster import FleetStatus


def cards(status: FleetStatus) -> list[Table]:
    """A line a card; nothing in a fleet that was told of none."""
    rows = [(worker.card.name, card) for worker in status.workers for card in worker.card.cards]
    if not rows:
        return []
    table = Table("Worker", "Card", "Kind")
    for heading in ("VRAM GiB", "°C", "W"):
        table.add_column(heading, justify="right")
    table.add_column("State")
    for worker, card in rows:
        memory = cardwords.memory(card.vram_used_bytes, card.vram_total_bytes)
        figures = (memory, cardwords.warmth(card), cardwords.power(card))
        cells = (worker, cardwords.number(card), card.name, *figures)
        state = plain(card.state, "green" if card.state == "ok" else "bold red")
        table.add_row(*(plain(one_line(cell)) for cell in cells), state)
    return [table]


def braked(status: FleetStatus) -> list[str]:
    """A line for each worker that heat, watts or somebody's word hold back."""
    lines = []
    for worker in status.workers:
        card = worker.card
        why = [*([f"throttled: {card.throttle}"] if card.throttle else []), *cardwords.paused(card)]
        lines += [f"{one_line(card.name)} is held back ({one_line('; '.join(why))})."] if why else []
    return lines
