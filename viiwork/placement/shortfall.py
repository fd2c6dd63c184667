"""What does not fit, and why: by how much, beside which others, and what would make room (`remedies.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viiwork.placement.allotting import Allotment, Known
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import measure, ways
from viiwork.placement.refusal import Refusal
from viiwork.placement.remedies import Remedies, counted
from viiwork.placement.split import splits
from viiwork.placement.vram import Fit
from viiwork.placement.wish import Wish


@dataclass(frozen=True, slots=True)
class Shortfall:
    """One of them: which wish, in which plan."""

    found: Allotment
    wish: int
    cards: Sequence[PlanCard]
    known: Known | None

    def refusal(self) -> Refusal:
        """What to say of it."""
        needs_bytes, largest_bytes, reason = self._nearest()
        return Refusal(
            model=self._wanted.shape.name,
            placed=len(self.found.given[self.wish]),
            why=self._why(reason),
            needs_bytes=needs_bytes,
            largest_bytes=largest_bytes,
            would_fit=tuple(self._remedies.told()),
        )

    @property
    def _wanted(self) -> Wish:
        return self.found.wishes[self.wish]

    @property
    def _remedies(self) -> Remedies:
        return Remedies(self.found, self.wish, self.cards, self.known)

    @property
    def _left(self) -> list[PlanCard]:
        return self._usable(self.found.left)

    @property
    def _hopeless(self) -> bool:
        """Whether it would not fit even if it had all cards."""
        return self._remedies.alone(1) is None

    def _usable(self, cards: Sequence[PlanCard]) -> list[PlanCard]:
        return [card for card in cards if card.arch in self.found.allowed[self.wish]]

    def _why(self, reason: str) -> str:
        have, want = len(self.found.given[self.wish]), self._wanted.replicas
        if not self.cards:
            return "There is no card to use."
        if not self.found.allowed[self.wish]:
            said = [self.known(self._wanted.shape, arch).why for arch in _chips(self.cards)] if self.known else []
            return f"It is known not to work here: {'; '.join(dict.fromkeys(said))}."
        if have:
            return f"{want} replicas are wanted, and there is room for {have}."
        if self._hopeless:
            return reason
        return " ".join(each for each in (self._beside_others(), reason if self._left else "") if each)

    def _beside_others(self) -> str:
        """What was left for it once everyone else had as many replicas as were asked for; who has that in the end."""
        left, spare = len(self._left), len(self._usable(self.found.free))
        if not left:
            return "The others take all cards that it could use."
        if spare == left:
            return f"The others leave {counted(left)} that it could use."
        took = "it" if left == 1 else f"{left - spare} of them" if spare else "them"
        least = f"What the others need at least leaves {counted(left)} that it could use"
        return f"{least}, too few for it: they have {took} as well."

    def _nearest(self) -> tuple[int, int, str]:
        """Of the group with most memory, by the split that needs least: what it needs, what it has, what is wrong."""
        bounds, wish = self.found.bounds, self._wanted
        groups = _largest_first(self._usable(self.cards) if self._hopeless else self._left)
        if not groups:
            alone = measure(wish, vram_bytes=0, tp=1, pp=1, engine=bounds.engine, utilization=bounds.utilization)
            return (alone.needed_bytes if self.found.allowed[self.wish] else 0), 0, alone.reason
        vram_bytes, count = groups[0]
        found: list[Fit] = [
            measure(wish, vram_bytes=vram_bytes, tp=tp, pp=pp, engine=bounds.engine, utilization=bounds.utilization)
            for tp, pp in ways(bounds.engine, count, fast=True)
            if not splits(wish.shape, tp=tp, pp=pp, engine=bounds.engine)
        ]
        if not found:
            return 0, 0, splits(wish.shape, tp=1, pp=count, engine=bounds.engine)
        nearest = min(found, key=lambda each: each.needed_bytes)
        needs_bytes, usable_bytes = count * nearest.needed_bytes, count * int(vram_bytes * bounds.utilization)
        return needs_bytes if needs_bytes > usable_bytes else 0, usable_bytes, nearest.reason


def _chips(cards: Sequence[PlanCard]) -> list[str]:
    return sorted({card.arch for card in cards})


def _largest_first(cards: Sequence[PlanCard]) -> list[tuple[int, int]]:
    """Memory of the smallest card, and how many: of each group of one chip that takes all cards from a size on."""
    groups = []
    for arch in _chips(cards):
        sizes = [card.vram_bytes for card in cards if card.arch == arch]
        groups += [(least, sum(size >= least for size in sizes)) for least in set(sizes)]
    return sorted(groups, key=lambda group: (-group[0] * group[1], group))
