"""The fleet's workers kept as its cards allow: looked at, planned again, ended and started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress

from viiwork.fleet.berths import Berth
from viiwork.fleet.cardwatch import CardWatch
from viiwork.fleet.crew import Crew
from viiwork.fleet.mending import Change, Mender, told
from viiwork.fleet.plan import ProcessSpec
from viiwork.fleet.settling import Settling
from viiwork.placement.cards import PlanCard

LOOK_S = 1.0
Drained = Callable[[], Awaitable[Collection[str]]]


async def nobody() -> Collection[str]:
    """No card is drained."""
    return ()


class Tending:
    """One task beside the supervisor's own watch: what it waits for (workers that drain) holds that up no more."""

    def __init__(
        self,
        mender: Mender,
        crew: Crew,
        *,
        watch: CardWatch | None,
        settling: Settling,
        spec_of: Callable[[Berth], ProcessSpec],
        tell: Callable[[str], None],
        drained: Drained = nobody,
    ) -> None:
        self._mender = mender
        self._crew = crew
        self._watch = watch
        self._settling = settling
        self._spec_of = spec_of
        self._tell = tell
        self._drained = drained
        self._known: object = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the fleet is announced by now."""
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
        cards = self._settling.at(time.monotonic(), self._seen())
        drained = frozenset(await self._drained())
        known = {name: card.trouble for name, card in cards.items()}, drained
        if known == self._known:
            return
        change = await asyncio.to_thread(self._mender.follow, cards, drained=drained)
        self._known = known
        await self._act(change)

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
