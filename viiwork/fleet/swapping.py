"""A swap from what was asked to what came of it: looked at, carried out, kept, told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

from viiwork.errors import ViiworkError
from viiwork.fleet.berths import Berth
from viiwork.fleet.exchange import Exchange
from viiwork.fleet.mending import Mender
from viiwork.fleet.roll import Roll
from viiwork.fleet.swapdesk import SwapDesk
from viiwork.hosts import Swap
from viiwork.placement.cards import PlanCard

Cards = Mapping[str, PlanCard]
DEFECT = "a defect of VIIWork ({}) broke it off, so that workers of either model may run. Start the fleet again."


class Swapping:
    """One at a time; who asks for another meanwhile is told so."""

    def __init__(self, desk: SwapDesk, roll: Roll, *, tell: Callable[[str], None]) -> None:
        self._desk = desk
        self._roll = roll
        self._tell = tell
        self._now: Swap | None = None
        self.coming: tuple[Berth, ...] = ()
        """Who begins, while a swap is under way."""

    async def next(self, mender: Mender, cards: Cards, drained: Collection[str]) -> Mender:
        """The next that was asked for, if there is one; answers whose plan holds from now on."""
        self._now = await self._desk.asked()
        if self._now is None:
            return mender
        try:
            return await self._answer(self._now, mender, cards, drained)
        except Exception as error:  # else it would be under way for ever, and every other refused
            await self._desk.say(self._now, "failed", DEFECT.format(type(error).__name__))
            raise
        finally:
            self._now, self.coming = None, ()

    async def refuse_others(self) -> None:
        """Beside one that is under way: to wait for it may take hours."""
        if self._now is not None:
            await self._desk.refuse_others(self._now)

    async def _answer(self, swap: Swap, mender: Mender, cards: Cards, drained: Collection[str]) -> Mender:
        try:
            found = await asyncio.to_thread(self._desk.considered, mender, swap, cards, frozenset(drained))
        except ViiworkError as error:
            await self._desk.say(swap, "refused", str(error))
            return mender
        swap = swap.model_copy(update={"plan": found.told, "served_as": found.comes})
        if swap.dry_run:
            await self._desk.say(swap, "planned")
            return mender
        return await self._carry_out(swap, found, mender)

    async def _carry_out(self, swap: Swap, found: Exchange, mender: Mender) -> Mender:
        await self._desk.say(swap, "under way")
        self._tell(f"{swap.model} is swapped for {swap.to}, one placement after the other: {found.told}")
        self.coming = found.change.started
        if failed := await self._roll.carry_out(found.change):
            self._tell(f"{swap.model} is not swapped, and served as before: {failed}")
            await self._desk.say(swap, "failed", failed)
            return mender
        lost = await asyncio.to_thread(self._desk.keep, swap)
        self._tell(f"{swap.model} is swapped for {swap.to}. {lost}".rstrip())
        await self._desk.say(swap, "done", lost)
        return found.mender
