"""A worker and its cards in words, for tables. What is not known is a dash and never a 0. Pure."""

from __future__ import annotations

from viiwork.roster import CardStatus, WorkerCard, WorkerStatus

GIB = 1024**3
UNKNOWN = "-"


def whole(value: float | None) -> str:
    """A number without its fraction."""
    return UNKNOWN if value is None else f"{value:.0f}"


def memory(used_bytes: int | None, total_bytes: int | None) -> str:
    """`3.9/16.0`: GiB in use and all."""
    return "/".join(UNKNOWN if size is None else f"{size / GIB:.1f}" for size in (used_bytes, total_bytes))


def warmth(card: CardStatus) -> str:
    """`61/94 mem`: degrees Celsius of the sensor nearest to its limit, and that limit."""
    if card.temperature_c is None:
        return UNKNOWN
    limit = "" if card.critical_c is None else f"/{card.critical_c:.0f}"
    return f"{card.temperature_c:.0f}{limit} {card.sensor}".rstrip()


def power(card: CardStatus) -> str:
    """`180/250`: watts drawn, and the cap."""
    return f"{whole(card.power_w)}/{whole(card.cap_w)}"


def share(used: float | None) -> str:
    """`25 %`."""
    return UNKNOWN if used is None else f"{used:.0%}".replace("%", " %")


def slots(worker: WorkerStatus) -> str:
    """`3/16`: in flight, and all; `3/12/16` where its limit is lower just now."""
    card, busy = worker.card, sum(worker.in_flight.values())
    limit = "" if card.limit in (None, card.slots) else f"/{card.limit}"
    return f"{busy}{limit}/{card.slots}"


def in_one_line(card: CardStatus) -> str:
    """`gpu2, Radeon VII: 61/94 mem °C, 180/250 W, 3.9/16.0 GiB`."""
    state = "" if card.state == "ok" else f" is {card.state}"
    figures = f"{warmth(card)} °C, {power(card)} W, {memory(card.vram_used_bytes, card.vram_total_bytes)} GiB"
    return f"{number(card)}, {card.name}{state}: {figures}"


def number(card: CardStatus) -> str:
    """`gpu2`."""
    return UNKNOWN if card.number < 0 else f"gpu{card.number}"


def brakes(worker: WorkerStatus) -> tuple[str, ...]:
    """Why a worker takes less than it could, the worst first; nothing while it takes what it can."""
    card = worker.card
    return (
        *([f"quarantined: {worker.quarantine}"] if worker.quarantine else []),
        *([card.engine_state] if card.engine_state not in ("", "ready") else []),
        *([f"throttled: {card.throttle}"] if card.throttle else []),
        *([f"held: {worker.hold}"] if worker.hold else []),
        *paused(card),
    )


def paused(card: WorkerCard) -> tuple[str, ...]:
    """A word for each lane from which it takes nothing."""
    return tuple(f"{lane.value} paused" for lane in card.closed)
