"""A swap's placements, one after the other: each new worker in the place of those that end for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from viiwork.fleet.berths import Berth
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.crew import Crew
from viiwork.fleet.mending import Change

LOOK_S = 0.25
READY_LIMIT_S = 900.0
"""A large model on a slow disk takes up to 15 minutes."""
OUT = "all cards that it was to have were drained meanwhile."


class Roll:
    """The others serve meanwhile; who began goes again where one cannot be started."""

    def __init__(
        self,
        crew: Crew,
        *,
        begin: Callable[[Sequence[Berth]], None],
        trouble_of: Callable[[Child], str],
        is_held: Callable[[Child], bool],
        is_out: Callable[[Berth], bool],
        limit_s: float = READY_LIMIT_S,
    ) -> None:
        """`is_out` says whether a card of a berth is drained by now."""
        self._crew = crew
        self._begin = begin
        self._trouble_of = trouble_of
        self._is_held = is_held
        self._is_out = is_out
        self._limit_s = limit_s

    async def carry_out(self, change: Change) -> str:
        """Answers what went wrong; all is then as it was before, but for cards that were drained meanwhile."""
        left, ended, begun = list(change.ended), list[Berth](), list[Berth]()
        for berth in change.started:
            going = [each for each in left if set(each.cards) & set(berth.cards)]
            left, ended = [each for each in left if each not in going], [*ended, *going]
            await self._crew.end({each.name for each in going})
            if self._is_out(berth):
                continue  # the plan heals that once this is over
            begun.append(berth)
            self._begin([berth])
            if failed := await self._until_ready(berth):
                return await self._back(ended, begun, failed)
        if change.started and all(self._is_out(berth) for berth in change.started):
            return await self._back(ended, begun, OUT)
        await self._crew.end({each.name for each in left})
        return ""

    async def _back(self, ended: Sequence[Berth], begun: Sequence[Berth], failed: str) -> str:
        await self._crew.end({each.name for each in begun})
        self._begin([berth for berth in ended if not self._is_out(berth)])
        return failed

    async def _until_ready(self, berth: Berth) -> str:
        """Why it will not be; empty once it is, or waits for what no swap can bring about."""
        until_s = time.monotonic() + self._limit_s
        while time.monotonic() < until_s:
            await asyncio.sleep(LOOK_S)
            child = self._crew.of(berth.name)
            if child is None or child.stopping or child.state is ChildState.READY:
                return ""
            if failed := self._failure(berth, child):
                return failed
            if self._is_held(child):  # for a card or for watts, maybe for days
                return ""
        return f"{berth.name} was not ready within {self._limit_s:g} s."

    def _failure(self, berth: Berth, child: Child) -> str:
        if child.state is ChildState.FAILED:
            return f"{berth.name} cannot be started: {child.last_words()} (see {child.log})"
        trouble = self._trouble_of(child)
        return f"the engine of {berth.name} cannot be started: {trouble}" if trouble else ""
