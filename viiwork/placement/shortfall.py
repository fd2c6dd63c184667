"""What does not fit, why, and what would: each suggestion was planned before it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from viiwork.placement.allotting import Allotment, Known, allot, chips_for
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import measure, ways
from viiwork.placement.refusal import Refusal
from viiwork.placement.split import splits
from viiwork.placement.vram import Fit
from viiwork.placement.wish import Wish, narrower

MORE_CARDS = 16
STEP_TOKENS, LEAST_TOKENS = 256, 512
"""Shorter requests are suggested in such steps, and none that no document would fit in."""


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
            would_fit=tuple(self._suggestions()),
        )

    @property
    def _wanted(self) -> Wish:
        return self.found.wishes[self.wish]

    @property
    def _left(self) -> list[PlanCard]:
        return self._usable(self.found.left)

    @property
    def _hopeless(self) -> bool:
        """Whether it would not fit even if it had all cards."""
        return self._reached([replace(self._wanted, replicas=1)], self.cards, 0) is None

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
        if not self._left:
            return "The others take all cards that it could use."
        return f"The others leave {_counted(len(self._left))} that it could use. {reason}"

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

    def _suggestions(self) -> Iterator[str]:
        for wish in narrower(self._wanted, engine=self.found.bounds.engine):
            tried = self._with(wish)
            if tried is not None:
                yield f"as {wish.shape.quantization.label} ({_counted(len(tried.given[self.wish][0].cards))})"
        yield from self._on_more()
        yield from self._shorter()
        yield from self._alone()

    def _on_more(self) -> Iterator[str]:
        usable = self._usable(self.cards)
        if not usable or self._with(self._wanted, more=_more(usable, MORE_CARDS)) is None:
            return
        count = next(n for n in range(1, MORE_CARDS + 1) if self._with(self._wanted, more=_more(usable, n)) is not None)
        yield f"on {_counted(len(self.cards) + count)} ({count} more {_more(usable, 1)[0].kind})"

    def _shorter(self) -> Iterator[str]:
        """The longest request that fits, by halving."""
        most = self._wanted.max_model_len
        longest = self._wanted.shape.max_position_embeddings
        if longest and longest < most and self._at(longest):
            yield f"with max_model_len {longest:,}"
            return
        low, high = LEAST_TOKENS // STEP_TOKENS, -(-most // STEP_TOKENS)
        if low >= high or not self._at(low * STEP_TOKENS):
            return
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._at(middle * STEP_TOKENS) else (low, middle)
        yield f"with max_model_len {low * STEP_TOKENS:,}"

    def _at(self, tokens: int) -> bool:
        return self._with(replace(self._wanted, context_tokens=tokens)) is not None

    def _alone(self) -> Iterator[str]:
        if len(self.found.wishes) > 1 and self._reached([self._wanted], self.cards, 0) is not None:
            others = [each.shape.name for place, each in enumerate(self.found.wishes) if place != self.wish]
            yield f"without {' and '.join(others)}"

    def _with(self, wish: Wish, *, more: Sequence[PlanCard] = ()) -> Allotment | None:
        """The plan in which this wish is another one, if it comes true there and no other has to give way."""
        wishes = [wish if place == self.wish else each for place, each in enumerate(self.found.wishes)]
        tried = self._reached(wishes, [*self.cards, *more], self.wish)
        if tried is None:
            return None
        before, after = lacking(self.found), lacking(tried)
        return tried if set(after) <= set(before) else None

    def _reached(self, wishes: Sequence[Wish], cards: Sequence[PlanCard], wish: int) -> Allotment | None:
        allowed = [chips_for(each, cards, self.known) for each in wishes]
        tried = allot(wishes, cards, allowed=allowed, bounds=self.found.bounds)
        return None if wish in lacking(tried) else tried


def lacking(found: Allotment) -> tuple[int, ...]:
    """Wishes with fewer replicas than were asked for."""
    return tuple(
        place
        for place, (wish, groups) in enumerate(zip(found.wishes, found.given, strict=True))
        if len(groups) < wish.replicas
    )


def _chips(cards: Sequence[PlanCard]) -> list[str]:
    return sorted({card.arch for card in cards})


def _largest_first(cards: Sequence[PlanCard]) -> list[tuple[int, int]]:
    """Memory of the smallest card, and how many: of each group of one chip that takes all cards from a size on."""
    groups = []
    for arch in _chips(cards):
        sizes = [card.vram_bytes for card in cards if card.arch == arch]
        groups += [(least, sum(size >= least for size in sizes)) for least in set(sizes)]
    return sorted(groups, key=lambda group: (-group[0] * group[1], group))


def _more(cards: Sequence[PlanCard], count: int) -> list[PlanCard]:
    """So many more of the kind that there is most of."""
    kinds = Counter((card.kind, card.vram_bytes) for card in cards)
    common = max(kinds, key=lambda kind: (kinds[kind], kind[1], kind[0]))
    model = next(card for card in cards if (card.kind, card.vram_bytes) == common)
    first = 1 + max(card.index for card in cards)
    return [replace(model, id=f"more {number}", index=first + number) for number in range(count)]


def _counted(count: int) -> str:
    return "1 card" if count == 1 else f"{count} cards"
