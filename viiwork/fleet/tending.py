"""The fleet's workers kept as its cards allow: looked at, planned again, ended and started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from viiwork.fleet.berths import Berth
from viiwork.fleet.cardwatch import CardWatch
from viiwork.fleet.crew import Crew
from viiwork.fleet.hostboard import HostBoard, host_cards
from viiwork.fleet.mending import Change, Mender, told
from viiwork.fleet.plan import ProcessSpec
from viiwork.fleet.settling import Settling
from viiwork.placement.cards import PlanCard

LOOK_S = 1.0


class Tending:
    """One task beside the supervisor's own watch: what it waits for (workers that drain) holds that up no more."""

    def __init__(
        self,
        mender: Mender,
        crew: Crew,
        *,
        board: HostBoard,
        host: str,
        watch: CardWatch | None,
        settling: Settling,
        spec_of: Callable[[Berth], ProcessSpec],
        tell: Callable[[str], None],
    ) -> None:
        self._mender = mender
        self._crew = crew
        self._board = board
        self._host = host
        self._watch = watch
        self._settling = settling
        self._spec_of = spec_of
        self._tell = tell
        self._known: object = None
        self._task: asyncio.Task[None] | None = None

    async def prepare(self) -> tuple[Berth, ...]:
        """Who is to work at first: as planned, without what was drained before."""
        cards, drained = await self._look()
        change = await asyncio.to_thread(self._mender.follow, cards, drained=frozenset(drained))
        self._known = _key(cards, drained)
        for name, reason in drained.items():
            self._tell(f"{name} is drained and left out: {reason or 'no reason was given'} (viiwork undrain {name}).")
        for text in change.remarks:
            self._tell(text)
        await self._tell_fleet(cards)
        return self._mender.berths

    @property
    def drained(self) -> Mapping[str, str]:
        """The drained cards by their names, each with its reason."""
        return self._board.drained

    def start(self) -> None:
        """Begin."""
        if self._watch is not None:
            self._watch.start()
        self._task = asyncio.create_task(self._tend(), name="tending")

    async def close(self) -> None:
        """Change nothing any more; who is just being ended is left to whoever ends the fleet."""
        if self._watch is not None:
            self._watch.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._board.forget()

    def placements(self) -> dict[str, tuple[str, ...]]:
        """Which worker has which cards just now, by their identities."""
        return {berth.name: berth.cards for berth in self._mender.berths}

    def _seen(self) -> Mapping[str, PlanCard]:
        return self._watch.seen() if self._watch is not None else {}

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.turn()

    async def turn(self) -> None:
        """One look, and what follows from it."""
        cards, drained = await self._look()
        if (key := _key(cards, drained)) != self._known:
            change = await asyncio.to_thread(self._mender.follow, cards, drained=frozenset(drained))
            self._known = key
            await self._act(change)
        await self._tell_fleet(cards)

    async def _tell_fleet(self, cards: Mapping[str, PlanCard]) -> None:
        made = self._mender
        await self._board.tell(host_cards(self._host, made.berths, made.every, cards, made.not_served))

    async def _look(self) -> tuple[Mapping[str, PlanCard], Mapping[str, str]]:
        cards = self._settling.at(time.monotonic(), self._seen())
        return cards, await self._board.hear(cards)

    async def _act(self, change: Change) -> None:
        """A card has one engine at a time: who begins on cards of those that end waits for them."""
        for text in filter(None, (told(change), *change.remarks)):
            self._tell(text)
        busy = {card for berth in change.ended for card in berth.cards}
        later = [berth for berth in change.started if busy.intersection(berth.cards)]
        self._begin([berth for berth in change.started if berth not in later])
        await self._crew.end({berth.name for berth in change.ended})
        self._begin(later)

    def _begin(self, berths: Sequence[Berth]) -> None:
        self._crew.begin((self._spec_of(berth) for berth in berths), needed=True)


def _key(cards: Mapping[str, PlanCard], drained: Mapping[str, str]) -> object:
    """What the plan depends on."""
    return {name: bool(card.trouble) for name, card in cards.items()}, frozenset(drained)
