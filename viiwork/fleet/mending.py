"""How the fleet's workers follow its cards: what each change of them ends and starts. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

from viiwork.errors import NothingFits
from viiwork.fleet.berths import Berth, planned
from viiwork.fleet.posting import Known, Posting, bounds_of, plan_of
from viiwork.fleet.wanted import Wanted
from viiwork.placement.cards import PlanCard
from viiwork.placement.healing import Healed, heal
from viiwork.placement.plan import Placement
from viiwork.placement.wish import Wish
from viiwork.settings import Settings


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done."""

    ended: tuple[Berth, ...] = ()
    started: tuple[Berth, ...] = ()
    remarks: tuple[str, ...] = ()


class Mender:
    """Knows who works where, and what the plan is for when all cards are there."""

    def __init__(self, settings: Settings, posting: Posting) -> None:
        self._settings = settings
        self._wanted = posting.wanted
        self._planned = posting.plan is not None
        self._home: tuple[Placement, ...] = posting.plan.placements if posting.plan is not None else ()
        self._current = self._home
        self._sound = {card.id for card in posting.cards if not card.trouble}
        """Cards that were there once, and that a plan may hope for."""
        self._refused = frozenset(refusal.told for refusal in posting.plan.refusals) if posting.plan else frozenset()
        self.berths = posting.berths
        self.every = posting.berths
        """Of a fleet that nobody planned: all that it would have."""

    @property
    def aliases(self) -> frozenset[str]:
        """The models that a plan was made for."""
        return frozenset(wish.shape.name for wish in _wishes(self._wanted)) if self._planned else frozenset()

    @property
    def not_served(self) -> tuple[str, ...]:
        """A sentence for each model that does not fit, or has fewer replicas than were asked for."""
        return tuple(sorted(self._refused))

    def follow(self, cards: Mapping[str, PlanCard], *, drained: Collection[str] = ()) -> Change:
        """Go by these cards from now on, but for those that are drained (`gpu2`, `cpu0`)."""
        self._sound |= {card.id for card in cards.values() if not card.trouble}
        if self._planned:
            after, remarks = self._heal([card for card in cards.values() if card.label not in drained], bool(drained))
        else:
            after, remarks = _without(self.every, cards, drained), ()
        before, self.berths = self.berths, after
        ended = tuple(berth for berth in before if berth not in after)
        return Change(ended, tuple(berth for berth in after if berth not in before), remarks)

    def exchange(
        self,
        settings: Settings,
        wanted: tuple[Wanted, ...],
        cards: Mapping[str, PlanCard],
        *,
        drained: Collection[str],
        goes: str,
    ) -> tuple[Mender, Change]:
        """Who would know of these models instead, what is new among them on the cards of the one that goes, and what it
        takes to get there; nothing is changed by asking.

        Raises NothingFits where one of them would not be served, though it is now or is new.
        """
        fresh = copy(self)
        fresh._settings, fresh._wanted, fresh._sound = settings, wanted, set(self._sound)
        stay = self.aliases - {goes}
        fresh._home, fresh._current = (fresh._instead(each, stay) for each in (self._home, self._current))
        change = fresh.follow(cards, drained=drained)
        names = {wish.shape.name for wish in _wishes(wanted)}
        before, now = ({model_of(berth) for berth in one.berths} for one in (self, fresh))
        lost = names - now - ({wish.shape.name for wish in _wishes(self._wanted)} - before)
        if lost:
            why = [each for each in fresh.not_served if each.startswith(tuple(lost))] or fresh.not_served
            raise NothingFits(
                " ".join(why) or f"{', '.join(sorted(lost))} would not be served.", hint="Nothing was changed."
            )
        return fresh, change

    def _instead(self, placements: Sequence[Placement], stay: Collection[str]) -> tuple[Placement, ...]:
        """What is new in the place of what goes: as the plan has it for those cards alone."""
        new = [each for each in self._wanted if each.wish is not None and each.wish.shape.name not in stay]
        cards = [replace(card, trouble="") for each in placements if each.model not in stay for card in each.cards]
        kept = (each for each in placements if each.model in stay)
        return (*kept, *plan_of(self._settings, new, cards).placements)

    def _heal(self, cards: Sequence[PlanCard], drained: bool) -> tuple[tuple[Berth, ...], tuple[str, ...]]:
        home = self._home
        if drained:  # the plan for when all that are not drained are there
            whole = [replace(card, trouble="") for card in cards if card.id in self._sound]
            home = self._healed(whole, current=home, home=home).plan.placements
        healed = self._healed(cards, current=self._current, home=home)
        self._current = healed.placements
        if not drained and all(not card.trouble for card in cards if card.id in self._sound):
            self._home = healed.plan.placements  # as good as it was, and who has moved stays
        bounds = bounds_of(self._settings)
        return planned(healed.placements, self._wanted, server=bounds.engine), self._news(healed)

    def _healed(self, cards: Sequence[PlanCard], *, current: Sequence[Placement], home: Sequence[Placement]) -> Healed:
        bounds, known = bounds_of(self._settings), Known.of(self._settings)
        return heal(_wishes(self._wanted), cards, current=current, home=home, bounds=bounds, known=known)

    def _news(self, healed: Healed) -> tuple[str, ...]:
        """What does not fit any more."""
        told = [refusal.told for refusal in healed.plan.refusals]
        fresh = tuple(each for each in told if each not in self._refused)
        self._refused = frozenset(told)
        return fresh


def told(change: Change) -> str:
    """For people: `the plan has changed: llama-2-13b leaves gpu1+gpu2, and begins on gpu2+gpu3`."""
    parts = [f"{model_of(berth)} leaves {berth.name}" for berth in change.ended]
    parts += [f"{model_of(berth)} begins on {berth.name}" for berth in change.started]
    return f"the plan has changed: {', '.join(parts)}." if parts else ""


def model_of(berth: Berth) -> str:
    """What it serves, by its alias."""
    return berth.engine.alias or berth.engine.model or berth.engine.kind


def _wishes(wanted: Iterable[Wanted]) -> list[Wish]:
    return [each.wish for each in wanted if each.wish is not None]


def _without(berths: Sequence[Berth], cards: Mapping[str, PlanCard], drained: Collection[str]) -> tuple[Berth, ...]:
    """Those of which nothing is drained; a worker whose card is lost waits for it."""
    ids = {card.id for card in cards.values() if card.label in drained}
    return tuple(berth for berth in berths if berth.name not in drained and not ids.intersection(berth.cards))
