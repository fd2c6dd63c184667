"""The fleet's workers kept as its cards allow: looked at, planned again, ended and started."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from viiwork.fleet.berths import Berth
from viiwork.fleet.cardwatch import CardWatch
from viiwork.fleet.child import Child
from viiwork.fleet.crew import Crew
from viiwork.fleet.hostboard import HostBoard, host_cards
from viiwork.fleet.mending import Change, Mender, told
from viiwork.fleet.plan import ProcessSpec
from viiwork.fleet.roll import Roll
from viiwork.fleet.settling import Settling
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.fleet.swapping import Swapping
from viiwork.placement.cards import PlanCard

log = logging.getLogger(__name__)
LOOK_S = 1.0


class Tending:
    """Two tasks beside the supervisor's own watch: one changes what works where, and may wait long for workers that
    finish what they have; the other meanwhile lets workers of drained cards go at once, and tells of the cards.
    """

    def __init__(
        self,
        mender: Mender,
        crew: Crew,
        *,
        board: HostBoard,
        host: str,
        desk: SwapDesk,
        trouble_of: Callable[[Child], str],
        is_held: Callable[[Child], bool],
        watch: CardWatch | None,
        settling: Settling,
        spec_of: Callable[[Berth], ProcessSpec],
        tell: Callable[[str], None],
    ) -> None:
        roll = Roll(crew, begin=self._begin, trouble_of=trouble_of, is_held=is_held, is_out=self._is_out)
        self._swapping = Swapping(desk, roll, tell=tell)
        self._desk = desk
        self._mender = mender
        self._crew = crew
        self._board = board
        self._host = host
        self._cards: Mapping[str, PlanCard] = {}
        self._watch = watch
        self._settling = settling
        self._spec_of = spec_of
        self._tell = tell
        self._known: object = None
        self._defects: set[str] = set()
        self._over = False
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def prepare(self) -> tuple[Berth, ...]:
        """Who is to work at first: as planned, without what was drained before."""
        cards, drained = await self._look()
        change = await asyncio.to_thread(self._mender.follow, cards, drained=frozenset(drained))
        self._known = _key(cards, drained)
        for name, reason in drained.items():
            self._tell(f"{name} is drained and left out: {reason or 'no reason was given'} (viiwork undrain {name}).")
        for text in change.remarks:
            self._tell(text)
        await self._desk.look_back()
        await self._tell_fleet()
        return self._mender.berths

    @property
    def drained(self) -> Mapping[str, str]:
        """The drained cards by their names, each with its reason."""
        return self._board.drained

    def start(self) -> None:
        """Begin."""
        if self._watch is not None:
            self._watch.start()
        acts = {"tending": self.turn, "heeding drains": self.heed}
        self._tasks = tuple(asyncio.create_task(self._again(act), name=name) for name, act in acts.items())

    async def close(self) -> None:
        """Change nothing any more; who is just being ended is left to whoever ends the fleet."""
        if self._watch is not None:
            self._watch.close()
        self._over = True
        for task in self._tasks:
            while not task.done():  # `wait_for` in Python 3.11 may lose a cancellation
                task.cancel()
                await asyncio.wait((task,), timeout=1)
        await self._desk.break_off()
        await self._board.forget()

    def placements(self) -> dict[str, tuple[str, ...]]:
        """Which worker has which cards just now, by their identities."""
        return {berth.name: berth.cards for berth in self._berths()}

    async def turn(self) -> None:
        """One look, and what follows from it."""
        cards, drained = await self._look()
        if (key := _key(cards, drained)) != self._known:
            change = await asyncio.to_thread(self._mender.follow, cards, drained=frozenset(drained))
            self._known = key
            await self._act(change)
        await self._fill()
        self._mender = await self._swapping.next(self._mender, cards, drained)

    async def heed(self) -> None:
        """A drain may mean that a fan is broken: its worker is let go whatever else is under way."""
        await self._look()
        for name in self._crew.let_go({berth.name for berth in self._berths() if self._is_out(berth)}):
            self._tell(f"a card of {name} is drained: it finishes what it has, and takes nothing more.")
        await self._swapping.refuse_others()
        await self._tell_fleet()

    async def _again(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._guarded(act)

    async def _guarded(self, act: Callable[[], Awaitable[None]]) -> None:
        """A defect must not end what follows the cards for good; it is told once."""
        try:
            await act()
        except Exception as error:
            if (kind := type(error).__name__) not in self._defects:
                self._defects.add(kind)
                log.exception("the cards could not be followed")
                self._tell(f"the cards could not be followed just now ({kind}); it is tried again.")

    async def _look(self) -> tuple[Mapping[str, PlanCard], Mapping[str, str]]:
        seen = self._watch.seen() if self._watch is not None else {}
        self._cards = cards = self._settling.at(time.monotonic(), seen)
        return cards, await self._board.hear(cards)

    async def _tell_fleet(self) -> None:
        made = self._mender
        await self._board.tell(host_cards(self._host, made.berths, made.every, self._cards, made.not_served))

    async def _act(self, change: Change) -> None:
        """A card has one engine at a time: who begins on cards of those that end waits for them."""
        for text in filter(None, (told(change), *change.remarks)):
            self._tell(text)
        busy = {card for berth in change.ended for card in berth.cards}
        later = [berth for berth in change.started if busy.intersection(berth.cards)]
        self._begin([berth for berth in change.started if berth not in later])
        await self._crew.end({berth.name for berth in change.ended})
        self._begin(later)

    async def _fill(self) -> None:
        """Whose drain was taken back before the plan had heard of it begins again, and who was left out of a swap."""
        lacking = [
            berth for berth in self._mender.berths if not self._crew.keeps(berth.name) and not self._is_out(berth)
        ]
        await self._crew.end({berth.name for berth in lacking})
        self._begin(lacking)

    def _berths(self) -> tuple[Berth, ...]:
        return (*self._mender.berths, *self._swapping.coming)

    def _is_out(self, berth: Berth) -> bool:
        drained = self._board.drained
        out = {card.id for card in self._cards.values() if card.label in drained}
        return berth.name in drained or bool(out.intersection(berth.cards))

    def _begin(self, berths: Sequence[Berth]) -> None:
        if not self._over:
            self._crew.begin((self._spec_of(berth) for berth in berths), needed=True)


def _key(cards: Mapping[str, PlanCard], drained: Mapping[str, str]) -> object:
    """What the plan depends on."""
    return {name: bool(card.trouble) for name, card in cards.items()}, frozenset(drained)
