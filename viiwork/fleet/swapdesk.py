"""Where a host's supervisor hears which model is to be swapped for which, looks whether that can be, and answers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from viiwork.errors import NothingFits, SettingsError, StoreUnavailable
from viiwork.fleet.exchange import Exchange, check_taking, exchange_of
from viiwork.fleet.mending import Mender
from viiwork.fleet.posting import check_engines
from viiwork.fleet.swapped import after, configured, read_swaps, with_swaps, write_swaps
from viiwork.fleet.wanted import wanted_models
from viiwork.hosts import Swap, SwapState
from viiwork.placement.cards import PlanCard
from viiwork.recipes.modelfacts import alias_of
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.swaps import swaps, tell_swaps

BROKEN_OFF = "`viiwork up` ended before it was done; {model} is served as before. Ask again for it."


class SwapDesk:
    """`settings` are those that a person gave, before any swap."""

    def __init__(self, settings: Settings, store: Store, *, host: str, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._store = store
        self._host = host
        self._tell = tell
        self._untold: dict[str, Swap] = {}
        """What could not be written while Redis was away, by the id of the asking."""
        self._writing = asyncio.Lock()
        self._under_way: Swap | None = None
        self._looked_back = False

    async def asked(self) -> Swap | None:
        """The next that nobody has answered; None also while Redis is away."""
        return next((each for each in await self._mine() if each.state == "asked"), None)

    async def refuse_others(self, now: Swap) -> None:
        """Who asked while this one is under way need not wait for it."""
        why = f"{now.model} is swapped for {now.to} just now. Ask again once that is over."
        for each in await self._mine():
            if each.state == "asked" and each.id != now.id:
                await self.say(each, "refused", why)

    async def look_back(self) -> None:
        """What an earlier life of the supervisor had begun is done if it was kept, and is under way no more."""
        with suppress(StoreUnavailable):
            for each in await swaps(self._store):
                if each.host == self._host and each.state == "under way":
                    await self._end(each)
            self._looked_back = True

    async def break_off(self) -> None:
        """The supervisor ends: the same for what it has under way itself."""
        if self._under_way is not None:
            await self._end(self._under_way)

    async def say(self, swap: Swap, state: SwapState, why: str = "") -> None:
        """How it stands; later where Redis is away."""
        told = swap.model_copy(update={"state": state, "why": why})
        if state == "under way":
            self._under_way = told
        elif self._under_way is not None and self._under_way.id == swap.id:
            self._under_way = None
        self._untold[swap.id] = told
        await self._tell_all()

    def considered(
        self, mender: Mender, swap: Swap, cards: Mapping[str, PlanCard], drained: Collection[str]
    ) -> Exchange:
        """What it takes. Raises NothingFits, SettingsError, NotFound or UsageError; nothing is changed then."""
        wished = self._wished(swap)
        self._check(mender, swap, wished)
        settings = with_swaps(self._settings, wished)
        wanted = wanted_models(settings)
        if any(each.wish is None for each in wanted):
            raise NothingFits(f"nothing is known of the size of {swap.to}, so that it cannot be placed.")
        check_engines(settings, wanted)
        after_it, change = mender.exchange(settings, wanted, cards, drained=drained, goes=swap.model)
        found = exchange_of(mender, after_it, change, goes=swap.model, comes=alias_of(swap.to))
        check_taking(found, allowed=swap.take_cards)
        return found

    def keep(self, swap: Swap) -> str:
        """From the next start on; answers what is to be said where that cannot be."""
        try:
            write_swaps(self._settings.state_dir, self._wished(swap))
        except OSError as error:  # a full disk must not end a fleet that runs
            reason = os.strerror(error.errno) if error.errno else "the file cannot be written"
            return f"It is not kept over a restart: {reason}."
        return ""

    def _check(self, mender: Mender, swap: Swap, wished: Mapping[str, str]) -> None:
        served, comes = mender.aliases, alias_of(swap.to)
        if not served:
            hint = "Start the fleet again with another --model."
            raise SettingsError("the workers of this host were not planned by their models' sizes.", hint=hint)
        if swap.model not in served:
            raise SettingsError(f"{swap.model} is not served here. Served are {', '.join(sorted(served))}.")
        if wished == read_swaps(self._settings.state_dir):
            raise SettingsError(f"{swap.model} is {swap.to} already.")
        if comes != swap.model and comes in served:
            raise SettingsError(f"{comes} is served here already, beside {swap.model}.")

    async def _mine(self) -> list[Swap]:
        with suppress(StoreUnavailable):
            await self._tell_all()
            if not self._looked_back:
                await self.look_back()
                return []
            waiting = set(self._untold)
            return [each for each in await swaps(self._store) if each.host == self._host and each.id not in waiting]
        return []

    async def _end(self, swap: Swap) -> None:
        """It holds from the next start on, or it does not."""
        done = self._is_kept(swap)
        why = "" if done else BROKEN_OFF.format(model=swap.model)
        if not done:
            self._tell(f"{swap.model} was not swapped for {swap.to}: {why}")
        await self.say(swap, "done" if done else "failed", why)

    def _is_kept(self, swap: Swap) -> bool:
        now = configured(with_swaps(self._settings, read_swaps(self._settings.state_dir)))
        return swap.to in now.values() and (swap.model not in now or now[swap.model] == swap.to)

    async def _tell_all(self) -> None:
        """One write at a time: what is said later must not be overtaken."""
        async with self._writing:
            with suppress(StoreUnavailable):
                while self._untold:
                    told = next(iter(self._untold.values()))
                    await tell_swaps(self._store, [told])
                    if self._untold.get(told.id) is told:
                        del self._untold[told.id]

    def _wished(self, swap: Swap) -> dict[str, str]:
        return after(self._settings, read_swaps(self._settings.state_dir), model=swap.model, to=swap.to)
