"""Cards given out to wishes: every model once, then each one's least number of replicas, then what is left by demand.

Pure. A few orders and two habits of choosing cards are tried, and the result that serves most is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from viiwork.placement.arranging import arranged
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Bounds, Group, group_for, layout_on, numbered
from viiwork.placement.shape import ModelShape
from viiwork.placement.support import Support
from viiwork.placement.wish import Wish

Known = Callable[[ModelShape, str], Support]
"""What is known to work: a model on a chip such as `gfx906`."""
ALL_ORDERS = 4
"""Up to so many wishes are tried in every order."""
FEW_IN_FLIGHT = 8
"""With fewer documents in flight a group gets further cards, if nobody else can use them."""


@dataclass(slots=True)
class Allotment:
    """Who has what; a wish goes by its place in the list."""

    wishes: Sequence[Wish]
    allowed: Sequence[frozenset[str]]
    """On which chips each wish may run."""
    bounds: Bounds
    free: list[PlanCard]
    given: list[list[Group]] = field(default_factory=list)
    left: tuple[PlanCard, ...] = ()
    """What was free once every wish had its least number, or could not have it."""

    def give(self, wish: int) -> bool:
        """One more replica; False if there is no room for one."""
        usable = [card for card in self.free if card.arch in self.allowed[wish]]
        group = group_for(self.wishes[wish], usable, bounds=self.bounds)
        if group is None:
            return False
        self.given[wish].append(group)
        self._take(group.cards)
        return True

    def widen(self, wish: int, place: int) -> None:
        """Cards that nobody can use go to a group that is better with them."""
        group = self.given[wish][place]
        found = [each for each in self._wider(group, self.wishes[wish]) if _better(each, group)]
        if found:
            wider = next((each for each in found if each.layout.pp == 1), found[0])
            self.given[wish][place] = wider
            self._take(wider.cards)

    def _wider(self, group: Group, wish: Wish) -> Iterator[Group]:
        least, arch = min(card.vram_bytes for card in group.cards), group.cards[0].arch
        fitting = [card for card in self.free if card.arch == arch and card.vram_bytes >= least]
        fitting.sort(key=lambda card: (card.vram_bytes, -(card.link_bytes_s or 0), card.index, card.id))
        for more in range(1, min(len(fitting), len(group.cards)) + 1):
            cards = (*group.cards, *fitting[:more])
            layout = layout_on(wish, cards, bounds=self.bounds)
            if layout is not None:
                yield Group(cards=numbered(cards), layout=layout)

    def _take(self, cards: Sequence[PlanCard]) -> None:
        taken = {card.id for card in cards}
        self.free = [card for card in self.free if card.id not in taken]


def chips_for(wish: Wish, cards: Sequence[PlanCard], known: Known | None) -> frozenset[str]:
    """On which of their chips it is not known to fail."""
    chips = {card.arch for card in cards}
    return frozenset(chip for chip in chips if known is None or known(wish.shape, chip).answer != "no")


def allot(
    wishes: Sequence[Wish], cards: Sequence[PlanCard], *, allowed: Sequence[frozenset[str]], bounds: Bounds
) -> Allotment:
    """The best of all that was tried: most models served, by number and then by demand, most of the replicas that were
    asked for at least, most replicas, fewest mixed groups; of equals the first tried, in the order of the wishes.
    """
    tried = (
        _in_order(order, wishes, cards, allowed=allowed, bounds=replace(bounds, uniform=uniform))
        for order in _orders(wishes)
        for uniform in (True, False)
    )
    best = max(tried, key=score)
    given, free = arranged(best.given, best.free)
    return replace(best, given=given, free=list(free))


def _in_order(
    order: Sequence[int],
    wishes: Sequence[Wish],
    cards: Sequence[PlanCard],
    *,
    allowed: Sequence[frozenset[str]],
    bounds: Bounds,
) -> Allotment:
    found = Allotment(wishes, allowed, bounds, list(cards), [[] for _ in wishes])
    _least(found, order)
    found.left = tuple(found.free)
    by_demand(found)
    for wish, groups in enumerate(found.given):
        for place, group in enumerate(groups):
            if len(group.cards) > 1:
                found.widen(wish, place)
    return found


def _least(found: Allotment, order: Sequence[int]) -> None:
    """Everyone's first replica before anyone's second."""
    most = max((wish.replicas for wish in found.wishes), default=0)
    full: set[int] = set()
    for number in range(most):
        for wish in order:
            if wish not in full and number < found.wishes[wish].replicas and not found.give(wish):
                full.add(wish)


def by_demand(found: Allotment) -> None:
    """What is left, one replica after the other, to whoever has fewest for its share (D'Hondt's rule)."""
    wanting = set(range(len(found.wishes)))
    while wanting and found.free:
        wish = min(wanting, key=lambda each: ((len(found.given[each]) + 1) / found.wishes[each].share, each))
        if not found.give(wish):
            wanting.remove(wish)


def _better(wider: Group, group: Group) -> bool:
    """Tensor parallel alone instead of a pipeline, or at least twice the documents where there are few."""
    new, old = wider.layout, group.layout
    if old.pp > 1 and new.pp == 1:
        return True
    alike = new.pp == old.pp or new.tp == old.tp
    return alike and old.fit.in_flight < FEW_IN_FLIGHT and new.fit.in_flight >= 2 * old.fit.in_flight


def _orders(wishes: Sequence[Wish]) -> Iterator[tuple[int, ...]]:
    if len(wishes) <= ALL_ORDERS:
        yield from permutations(range(len(wishes)))
        return
    places = range(len(wishes))
    yield tuple(places)
    yield tuple(sorted(places, key=lambda each: wishes[each].shape.weights_bytes))
    yield tuple(sorted(places, key=lambda each: -wishes[each].shape.weights_bytes))


def score(found: Allotment) -> tuple[int, float, int, int, int]:
    """What plans are compared by, the more the better."""
    served = [wish for wish, groups in zip(found.wishes, found.given, strict=True) if groups]
    reached = sum(min(len(groups), wish.replicas) for wish, groups in zip(found.wishes, found.given, strict=True))
    groups = [group for groups in found.given for group in groups]
    mixed = sum(group.mixed for group in groups)
    return len(served), sum(wish.share for wish in served), reached, len(groups), -mixed
