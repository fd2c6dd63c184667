"""Where a host's supervisor hears which model is to be swapped for which, looks whether that can be, and answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from viiwork.errors import NothingFits, SettingsError, StoreUnavailable
from viiwork.fleet.mending import Change, Mender
from viiwork.fleet.posting import check_engines
from viiwork.fleet.swapped import after, read_swaps, with_swaps, write_swaps
from viiwork.fleet.wanted import wanted_models
from viiwork.hosts import Swap, SwapState
from viiwork.placement.cards import PlanCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.swaps import swaps, tell_swaps


class SwapDesk:
    """`settings` are those that a person gave, before any swap."""

    def __init__(self, settings: Settings, store: Store, *, host: str) -> None:
        self._settings = settings
        self._store = store
        self._host = host

    async def asked(self) -> Swap | None:
        """The next that nobody has answered; None also while Redis is away."""
        with suppress(StoreUnavailable):
            mine = (each for each in await swaps(self._store) if each.host == self._host)
            return next((each for each in mine if each.state == "asked"), None)
        return None

    async def interrupted(self) -> None:
        """What an earlier life had begun: it holds by the settings now, or it does not; it is under way no more."""
        with suppress(StoreUnavailable):
            mine = [each for each in await swaps(self._store) if each.host == self._host]
            for each in mine:
                if each.state == "under way":
                    await self.say(each, "done")

    async def say(self, swap: Swap, state: SwapState, why: str = "") -> None:
        """How it stands."""
        with suppress(StoreUnavailable):
            await tell_swaps(self._store, [swap.model_copy(update={"state": state, "why": why})])

    def considered(
        self, mender: Mender, swap: Swap, cards: Mapping[str, PlanCard], drained: Collection[str]
    ) -> tuple[Mender, Change]:
        """What it takes. Raises NothingFits, SettingsError, NotFound or UsageError; nothing is changed then."""
        wished = self._wished(swap)
        settings = with_swaps(self._settings, wished)
        if wished == read_swaps(self._settings.state_dir) or swap.model not in mender.aliases:
            raise SettingsError(f"{swap.model} is not served here, or is that model already.", param="model")
        wanted = wanted_models(settings)
        if any(each.wish is None for each in wanted):
            raise NothingFits(f"nothing is known of the size of {swap.to}, so that it cannot be placed.")
        check_engines(settings, wanted)
        return mender.exchange(settings, wanted, cards, drained=drained)

    def keep(self, swap: Swap) -> Mapping[str, str]:
        """From now on, and after the next start; answers what was kept before."""
        before = read_swaps(self._settings.state_dir)
        self.put_back(self._wished(swap))
        return before

    def put_back(self, kept: Mapping[str, str]) -> None:
        """A full disk must not end a fleet that runs."""
        with suppress(OSError):
            write_swaps(self._settings.state_dir, kept)

    def _wished(self, swap: Swap) -> dict[str, str]:
        return after(self._settings, read_swaps(self._settings.state_dir), model=swap.model, to=swap.to)
