"""What Prometheus is told of cards, and of how full and how fast engines are. What is not known has no sample. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from viiwork import cardwords
from viiwork.roster import CardStatus, WorkerCard, WorkerStatus

BY_CARD = ("worker", "card")
BY_WORKER = ("worker",)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric and its samples: the labels' values, and the figure."""

    name: str
    text: str
    labels: tuple[str, ...]
    samples: Sequence[tuple[tuple[str, ...], float]]


def gauges(workers: Sequence[WorkerStatus]) -> Iterator[Gauge]:
    """One family a figure; a card goes by its worker and its number."""
    yield _of_workers("worker_kv_use_ratio", "How full its cache of keys and values is.", workers, _kv_use)
    yield _of_workers("worker_tokens_per_second", "What its engine wrote, over ten seconds.", workers, _tokens_per_s)
    yield _of_cards("card_ok", "Whether the card is there and not in reset.", workers, lambda card: card.state == "ok")
    hottest = "Of the sensor that is nearest to its own limit."
    yield _of_cards("card_temperature_celsius", hottest, workers, lambda card: card.temperature_c)
    limit = "The card's own limit for that sensor."
    yield _of_cards("card_temperature_limit_celsius", limit, workers, lambda card: card.critical_c)
    yield _of_cards("card_power_watts", "What the card draws.", workers, lambda card: card.power_w)
    yield _of_cards("card_power_cap_watts", "What it may draw.", workers, lambda card: card.cap_w)
    yield _of_cards("card_vram_used_bytes", "Memory in use.", workers, lambda card: card.vram_used_bytes)
    yield _of_cards("card_vram_bytes", "All of its memory.", workers, lambda card: card.vram_total_bytes)


def _kv_use(card: WorkerCard) -> float | None:
    return card.kv_use


def _tokens_per_s(card: WorkerCard) -> float | None:
    return card.tokens_per_s


def _of_workers(
    name: str, text: str, workers: Sequence[WorkerStatus], figure: Callable[[WorkerCard], float | None]
) -> Gauge:
    found = [((at.card.name,), value) for at in workers if (value := figure(at.card)) is not None]
    return Gauge(f"viiwork_{name}", text, BY_WORKER, found)


def _of_cards(
    name: str, text: str, workers: Sequence[WorkerStatus], figure: Callable[[CardStatus], float | None]
) -> Gauge:
    pairs = [(at.card.name, card) for at in workers for card in at.card.cards]
    found = [((worker, cardwords.number(card)), value) for worker, card in pairs if (value := figure(card)) is not None]
    return Gauge(f"viiwork_{name}", text, BY_CARD, found)
