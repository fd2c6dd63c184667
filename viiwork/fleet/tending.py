"""The fleet's workers kept as its cards allow: looked at, planned again, ended and started."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from viiwork.errors import ViiworkError
from viiwork.fleet.berths import Berth
from viiwork.fleet.cardwatch import CardWatch
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.crew import Crew
from viiwork.fleet.hostboard import HostBoard, host_cards
from viiwork.fleet.mending import Change, Mender, told
from viiwork.fleet.plan import ProcessSpec
from viiwork.fleet.settling import Settling
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.hosts import Swap
from viiwork.placement.cards import PlanCard

log = logging.getLogger(__name__)
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
        desk: SwapDesk,
        trouble_of: Callable[[Child], str],
        is_held: Callable[[Child], bool],
        watch: CardWatch | None,
        settling: Settling,
        spec_of: Callable[[Berth], ProcessSpec],
        tell: Callable[[str], None],
    ) -> None:
        self._mender = mender
        self._crew = crew
        self._board = board
        self._host = host
        self._desk = desk
        self._trouble_of = trouble_of
        self._is_held = is_held
        self._coming: tuple[Berth, ...] = ()
        self._cards: Mapping[str, PlanCard] = {}
        self._telling: asyncio.Task[None] | None = None
        self._watch = watch
        self._settling = settling
        self._spec_of = spec_of
        self._tell = tell
        self._known: object = None
        self._defects: set[str] = set()
        self._over = False
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
        await self._tell_fleet()
        await self._desk.interrupted()
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
        self._telling = asyncio.create_task(self._tell_on(), name="telling of the cards")

    async def close(self) -> None:
        """Change nothing any more; who is just being ended is left to whoever ends the fleet."""
        if self._watch is not None:
            self._watch.close()
        self._over = True
        for task in filter(None, (self._task, self._telling)):
            while not task.done():  # `wait_for` in Python 3.11 may lose a cancellation
                task.cancel()
                await asyncio.wait((task,), timeout=1)
        await self._board.forget()

    def placements(self) -> dict[str, tuple[str, ...]]:
        """Which worker has which cards just now, by their identities."""
        return {berth.name: berth.cards for berth in (*self._mender.berths, *self._coming)}

    def _seen(self) -> Mapping[str, PlanCard]:
        return self._watch.seen() if self._watch is not None else {}

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._guarded(self.turn)

    async def turn(self) -> None:
        """One look, and what follows from it."""
        cards, drained = await self._look()
        if (key := _key(cards, drained)) != self._known:
            change = await asyncio.to_thread(self._mender.follow, cards, drained=frozenset(drained))
            self._known = key
            await self._act(change)
        if swap := await self._desk.asked():
            await self._swap(swap, cards, drained)

    async def _tell_on(self) -> None:
        """Beside the turns, which may wait long for workers that drain."""
        while True:
            await self._guarded(self._tell_fleet)
            await asyncio.sleep(LOOK_S)

    async def _guarded(self, act: Callable[[], Awaitable[None]]) -> None:
        """A defect must not end what follows the cards for good; it is told once."""
        try:
            await act()
        except Exception as error:
            if (kind := type(error).__name__) not in self._defects:
                self._defects.add(kind)
                log.exception("the cards could not be followed")
                self._tell(f"the cards could not be followed just now ({kind}); it is tried again.")

    async def _tell_fleet(self) -> None:
        made = self._mender
        await self._board.tell(host_cards(self._host, made.berths, made.every, self._cards, made.not_served))

    async def _swap(self, swap: Swap, cards: Mapping[str, PlanCard], drained: Mapping[str, str]) -> None:
        """One placement after the other, so that the others serve meanwhile; back to what it was where one fails."""
        try:
            ask = self._desk.considered
            fresh, change = await asyncio.to_thread(ask, self._mender, swap, cards, frozenset(drained))
        except ViiworkError as error:
            await self._desk.say(swap, "refused", str(error))
            return
        kept = self._desk.keep(swap)
        await self._desk.say(swap, "under way")
        self._tell(f"{swap.model} is swapped for {swap.to}, one placement after the other.")
        self._coming = change.started
        failed = await self._roll(change)
        self._coming = ()
        if failed:
            self._desk.put_back(kept)
            self._tell(f"{swap.model} is not swapped, and served as before: {failed}")
            await self._desk.say(swap, "failed", failed)
            return
        self._mender = fresh
        self._tell(f"{swap.model} is swapped for {swap.to}.")
        await self._desk.say(swap, "done")

    async def _roll(self, change: Change) -> str:
        """Each new worker on the cards of those that end for it, the next once it is ready; answers what went wrong."""
        left, ended, begun = list(change.ended), list[Berth](), list[Berth]()
        for berth in change.started:
            going = [each for each in left if set(each.cards) & set(berth.cards)]
            await self._crew.end({each.name for each in going})
            left, ended, begun = [each for each in left if each not in going], [*ended, *going], [*begun, berth]
            self._begin([berth])
            if failed := await self._until_ready(berth):
                await self._crew.end({each.name for each in begun})
                self._begin(ended)
                return failed
        await self._crew.end({each.name for each in left})
        return ""

    async def _until_ready(self, berth: Berth) -> str:
        """Why it will not be; empty once it is, or waits for what no swap can bring about."""
        while True:
            await asyncio.sleep(LOOK_S / 4)
            child = next((each for each in self._crew.children if each.spec.name == berth.name), None)
            if child is None or child.state is ChildState.READY:
                return ""
            if child.state is ChildState.FAILED:
                return f"{berth.name} cannot be started: {child.last_words()} (see {child.log})"
            if trouble := self._trouble_of(child):
                return f"the engine of {berth.name} cannot be started: {trouble}"
            if self._is_held(child):  # for a card or for watts, maybe for days: drains must not wait for that
                return ""

    async def _look(self) -> tuple[Mapping[str, PlanCard], Mapping[str, str]]:
        self._cards = cards = self._settling.at(time.monotonic(), self._seen())
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
        if not self._over:
            self._crew.begin((self._spec_of(berth) for berth in berths), needed=True)


def _key(cards: Mapping[str, PlanCard], drained: Mapping[str, str]) -> object:
    """What the plan depends on."""
    return {name: bool(card.trouble) for name, card in cards.items()}, frozenset(drained)
