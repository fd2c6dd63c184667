"""A plan for cards of which some are lost or back, with as little disturbance as can be. Pure.

Whoever is served stays where it is, unless a model that nobody serves any more, or that has fewer replicas than were
asked for, needs a card of others that can spare one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from viiwork.placement.allotting import Allotment, Known, by_demand, chips_for, score
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Bounds, Group, Layout, group_for
from viiwork.placement.plan import Placement, Plan, plan_of
from viiwork.placement.wish import Wish

Floor = Callable[[int], int]
"""How many replicas a wish keeps in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """What runs where from now on."""

    plan: Plan
    waiting: tuple[Placement, ...]
    """A card of theirs is away, and nobody else needs the others: they begin again once it is back."""

    @property
    def placements(self) -> tuple[Placement, ...]:
        """All that have a worker."""
        return (*self.plan.placements, *self.waiting)


def heal(
    wishes: Sequence[Wish],
    cards: Sequence[PlanCard],
    *,
    current: Sequence[Placement],
    home: Sequence[Placement],
    bounds: Bounds,
    known: Known | None = None,
) -> Healed:
    """From what runs, `current`, to what can. `home` is the plan for when all cards are there.

    A card that is lost has its `trouble`; one that is to be left out is not among the cards. It goes back to `home`
    only where that serves more than to stay and to use what is free.
    """
    usable = {card.id: card for card in cards if not card.trouble}
    repairs = [_Repair(wishes, usable, home=home, bounds=bounds, known=known).begin(current)]
    if all(_there(placement, usable) for placement in home):
        repairs.append(_Repair(wishes, usable, home=home, bounds=bounds, known=known).begin(home))
    best = max((repair.done() for repair in repairs), key=_worth)  # of equals the first: to stay
    taken = {card.id for groups in best.given for group in groups for card in group.cards}
    wanted = {wish.shape.name for wish in wishes}
    waiting = _waiting(current, cards, usable=usable, taken=taken, wanted=wanted)
    return Healed(plan=plan_of(best, cards, known), waiting=tuple(waiting))


@dataclass(slots=True)
class _Repair:
    """One way from what there is to a plan."""

    wishes: Sequence[Wish]
    usable: Mapping[str, PlanCard]
    home: Sequence[Placement]
    bounds: Bounds
    known: Known | None
    found: Allotment = field(init=False)

    def begin(self, placements: Iterable[Placement]) -> _Repair:
        """With those of which all cards are there."""
        cards = sorted(self.usable.values(), key=lambda card: (card.index, card.id))
        allowed = [chips_for(wish, cards, self.known) for wish in self.wishes]
        self.found = Allotment(self.wishes, allowed, self.bounds, cards, [[] for _ in self.wishes])
        for placement in placements:
            self._take(placement)
        return self

    def done(self) -> Allotment:
        """Everyone's first replica, then those that were asked for, then as it was, then by demand."""
        least = [wish.replicas for wish in self.wishes]
        for wish in sorted(range(len(least)), key=lambda each: (-self.wishes[each].share, each)):
            if not self.found.given[wish]:
                self._give(wish, lambda _: 1)
        for number in range(1, max(least, default=0)):
            for wish in range(len(least)):
                if number < least[wish] and len(self.found.given[wish]) == number:
                    self._give(wish, lambda each: max(1, least[each]))
        self.found.left = tuple(self.found.free)
        for placement in self.home:
            self._take(placement)
        by_demand(self.found)
        return self.found

    def _take(self, placement: Placement) -> bool:
        """A placement as it was, if it is still wanted and its cards are free."""
        wish = self._wish_of(placement)
        free = {card.id: card for card in self.found.free}
        if wish is None or not all(card.id in free for card in placement.cards):
            return False
        cards = tuple(free[card.id] for card in placement.cards)
        self.found.given[wish].append(Group(cards=cards, layout=_layout(placement)))
        self._use(cards)
        return True

    def _give(self, wish: int, floor: Floor) -> None:
        """One more replica: as it was, on what is free, else on what others can spare."""
        own = (placement for placement in self.home if self._wish_of(placement) == wish)
        if not any(self._take(placement) for placement in own) and not self.found.give(wish):
            self._spare(wish, floor)

    def _spare(self, wish: int, floor: Floor) -> None:
        """On cards of others that keep their floor without them: of one if that will do, else of as few as can be."""
        spares = self._spares(wish, floor)
        for pool in ([each] for each in spares):
            if self._room(wish, pool):
                return self._instead(wish, pool)
        for count in range(2, len(spares) + 1):
            if self._room(wish, spares[:count]):
                return self._instead(wish, self._fewest(wish, spares[:count]))
        return None

    def _spares(self, wish: int, floor: Floor) -> list[tuple[int, Group]]:
        """The last of each wish first, of those that have most beyond what was asked for."""
        others = [each for each in range(len(self.wishes)) if each != wish]
        found = [
            (each, group, number)
            for each in others
            for number, group in enumerate(self.found.given[each])
            if number >= floor(each)
        ]
        found.sort(key=lambda each: (self.wishes[each[0]].replicas - each[2], each[0]))
        return [(each, group) for each, group, _ in found]

    def _fewest(self, wish: int, pool: list[tuple[int, Group]]) -> list[tuple[int, Group]]:
        for each in list(pool):
            fewer = [other for other in pool if other is not each]
            if self._room(wish, fewer):
                pool = fewer
        return pool

    def _room(self, wish: int, pool: Sequence[tuple[int, Group]]) -> Group | None:
        cards = [*self.found.free, *(card for _, group in pool for card in group.cards)]
        usable = [card for card in cards if card.arch in self.found.allowed[wish]]
        return group_for(self.wishes[wish], usable, bounds=self.bounds)

    def _instead(self, wish: int, pool: Sequence[tuple[int, Group]]) -> None:
        for other, group in pool:
            self.found.given[other].remove(group)
            self.found.free += group.cards
        self.found.free.sort(key=lambda card: (card.index, card.id))
        self.found.give(wish)

    def _wish_of(self, placement: Placement) -> int | None:
        return next((at for at, wish in enumerate(self.wishes) if wish.shape.name == placement.model), None)

    def _use(self, cards: Iterable[PlanCard]) -> None:
        taken = {card.id for card in cards}
        self.found.free = [card for card in self.found.free if card.id not in taken]


def _worth(found: Allotment) -> tuple[object, ...]:
    """As plans are compared, then who has least for its share, then how its groups work."""
    groups = [group for each in found.given for group in each]
    shares = sorted(len(each) / wish.share for wish, each in zip(found.wishes, found.given, strict=True))
    pipelines = sum(group.layout.pp > 1 for group in groups)
    return score(found), shares, -pipelines, sum(group.layout.fit.in_flight for group in groups)


def _there(placement: Placement, usable: Mapping[str, PlanCard]) -> bool:
    return all(card.id in usable for card in placement.cards)


def _waiting(
    current: Iterable[Placement],
    cards: Iterable[PlanCard],
    *,
    usable: Mapping[str, PlanCard],
    taken: set[str],
    wanted: set[str],
) -> Iterable[Placement]:
    known = {card.id for card in cards}
    for placement in current:
        ids = {card.id for card in placement.cards}
        if placement.model in wanted and ids <= known and not ids & taken and not _there(placement, usable):
            yield placement


def _layout(placement: Placement) -> Layout:
    return Layout(tp=placement.tp, pp=placement.pp, fit=placement.fit)
