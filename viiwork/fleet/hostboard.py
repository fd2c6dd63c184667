"""What a supervisor tells the fleet of its cards, and what it hears of those that are drained."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from viiwork.errors import StoreUnavailable
from viiwork.fleet.berths import Berth
from viiwork.hosts import Drained, HostCard, HostCards
from viiwork.placement.cards import PlanCard
from viiwork.store import Store, drains

EVERY_S = 5.0


class HostBoard:
    """One host's part of what Redis knows. While Redis is away what was heard last holds."""

    def __init__(self, store: Store, *, host: str) -> None:
        self._store = store
        self._host = host
        self._drained: dict[str, str] = {}
        self._told: HostCards | None = None
        self._told_s = 0.0

    @property
    def drained(self) -> Mapping[str, str]:
        """The drained cards by their names now (`gpu2`), each with its reason."""
        return self._drained

    async def hear(self, cards: Mapping[str, PlanCard]) -> Mapping[str, str]:
        """What is drained now. Who a card is gets written down: its number may be another after the next start."""
        with suppress(StoreUnavailable):
            mine = [each for each in await drains.drained(self._store) if each.worker.endswith(f"@{self._host}")]
            fresh = with_identity(mine, cards.values())
            if fresh:
                await drains.note_identity(self._store, fresh)
            self._drained = names_of(mine, cards)
        return self._drained

    async def tell(self, record: HostCards) -> None:
        """At once where something has changed, else from time to time."""
        now_s = time.monotonic()
        if record == self._told and now_s - self._told_s < EVERY_S:
            return
        with suppress(StoreUnavailable):
            await drains.tell_host(self._store, record)
            self._told, self._told_s = record, now_s

    async def forget(self) -> None:
        """This host's supervisor ends."""
        with suppress(StoreUnavailable):
            await drains.forget_host(self._store, self._host)


def with_identity(mine: Iterable[Drained], cards: Iterable[PlanCard]) -> list[Drained]:
    """Those of which it was not known who they are, with that. Pure."""
    by_name = {card.label: card.id for card in cards}
    unknown = [each for each in mine if not each.card and _name(each) in by_name]
    return [each.model_copy(update={"card": by_name[_name(each)]}) for each in unknown]


def names_of(mine: Iterable[Drained], cards: Mapping[str, PlanCard]) -> dict[str, str]:
    """What each is called now, and why it is drained. One that is known by another name goes by that. Pure."""
    return {cards[each.card].label if each.card in cards else _name(each): each.reason for each in mine}


def host_cards(
    host: str, berths: Sequence[Berth], every: Sequence[Berth], cards: Mapping[str, PlanCard], not_served: Sequence[str]
) -> HostCards:
    """Each card with who has it; of a fleet without a plan each of its workers (`every`). Pure."""
    by_card = {card: berth for berth in berths for card in berth.cards}
    by_name = {berth.name: berth for berth in berths}
    if cards:
        found = [_card(card.label, card.id, by_card.get(card.id), card.trouble) for card in _in_order(cards.values())]
    else:
        found = [_card(berth.name, "", by_name.get(berth.name), "") for berth in every]
    return HostCards(host=host, cards=tuple(found), not_served=tuple(not_served))


def _card(name: str, identity: str, berth: Berth | None, trouble: str) -> HostCard:
    model = (berth.engine.alias or berth.engine.model or "") if berth is not None else ""
    return HostCard(name=name, id=identity, worker=berth.name if berth else "", model=model, trouble=trouble)


def _in_order(cards: Iterable[PlanCard]) -> list[PlanCard]:
    return sorted(cards, key=lambda card: (card.index, card.id))


def _name(each: Drained) -> str:
    return each.worker.partition("@")[0]
