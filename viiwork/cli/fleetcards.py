"""The cards of a fleet's workers, as `status` and `top` show them."""

from __future__ import annotations

from viiwork import cardwords
from viiwork.cli.fitting import Column, FittedTable
from viiwork.cli.screen import one_line, plain
from viiwork.roster import FleetStatus


def cards(status: FleetStatus) -> list[FittedTable]:
    """A line a card; nothing in a fleet that was told of none."""
    rows = [(worker.card.name, card) for worker in status.workers for card in worker.card.cards]
    if not rows:
        return []
    table = FittedTable(*columns_of(status))
    for worker, card in rows:
        memory = cardwords.memory(card.vram_used_bytes, card.vram_total_bytes)
        figures = (memory, cardwords.warmth(card), cardwords.power(card))
        cells = (worker, cardwords.number(card), card.name, *figures)
        state = plain(card.state, "green" if card.state == "ok" else "bold red")
        table.add_row(*(plain(one_line(cell)) for cell in cells), state)
    return [table]


def columns_of(status: FleetStatus) -> tuple[Column, ...]:
    """On one host the card's number tells enough of its worker where there is no room for both."""
    told = [(worker.card.host, card.number) for worker in status.workers for card in worker.card.cards]
    plainly = len({host for host, _ in told}) == 1 and all(number >= 0 for _, number in told)
    return (
        Column("Worker", rank=2 if plainly else 0),
        Column("Card"),
        Column("Kind", wraps=True),
        Column("VRAM GiB", rank=1, right=True),
        Column("°C", right=True),
        Column("W", right=True),
        Column("State"),
    )


def braked(status: FleetStatus) -> list[str]:
    """A line for each worker that heat, watts or somebody's word hold back."""
    lines = []
    for worker in status.workers:
        card = worker.card
        why = [*([f"throttled: {card.throttle}"] if card.throttle else []), *cardwords.paused(card)]
        lines += [f"{one_line(card.name)} is held back ({one_line('; '.join(why))})."] if why else []
    return lines
