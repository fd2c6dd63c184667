"""What would make room for a model that does not fit, in the words to type: each was planned before it is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from viiwork.placement.allotting import Allotment, Known, allot, chips_for
from viiwork.placement.cards import PlanCard
from viiwork.placement.wish import Wish, narrower, worded

MORE_CARDS = 16
STEP_TOKENS, LEAST_TOKENS = 256, 512
"""Shorter requests are suggested in such steps, and none that no document would fit in."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """For one wish of a plan; all other wishes stay as they are, and none gives way."""

    found: Allotment
    wish: int
    cards: Sequence[PlanCard]
    known: Known | None

    def told(self) -> Iterator[str]:
        """`as --model llama-2-13b:int4 (1 card)`, `on 5 cards (1 more Radeon VII)`, `with context=1280`, …"""
        weights = list(self._narrower())
        yield from weights
        yield from self._on_more()
        longest = self._longest(self._wanted)
        if longest:
            yield f"with context={longest}"
        elif not weights:
            yield from self._narrower_and_shorter()
        fewer = self._without(self._wanted)
        if fewer:
            yield f"without {' and '.join(fewer)}"
        if not weights and len(fewer) != 1:
            yield from self._narrower_without()

    def alone(self, replicas: int) -> Allotment | None:
        """The plan in which it has all cards, if so many of it fit there."""
        return self._reached([replace(self._wanted, replicas=replicas)], self.cards, 0)

    @property
    def _wanted(self) -> Wish:
        return self.found.wishes[self.wish]

    @property
    def _others(self) -> list[Wish]:
        return [each for place, each in enumerate(self.found.wishes) if place != self.wish]

    def _forms(self) -> list[Wish]:
        """It with narrower weights, but for what is wanted as well: one thing cannot be asked for twice."""
        taken = {each.shape.name for each in self._others}
        forms = narrower(self._wanted, engine=self.found.bounds.engine)
        return [each for each in forms if each.shape.name not in taken]

    def _narrower(self) -> Iterator[str]:
        for wish in self._forms():
            tried = self._with(wish)
            if tried is not None:
                yield f"{worded(wish)} ({self._size(tried)})"

    def _narrower_and_shorter(self) -> Iterator[str]:
        """Where neither is enough."""
        for wish in self._forms():
            longest = self._longest(wish)
            tried = self._with(replace(wish, context_tokens=longest)) if longest else None
            if tried is not None:
                yield f"{worded(wish)}{',' if wish.catalogued else ' and '}context={longest} ({self._size(tried)})"

    def _on_more(self) -> Iterator[str]:
        usable = [card for card in self.cards if card.arch in self.found.allowed[self.wish]]
        if not usable or self._with(self._wanted, more=_more(usable, MORE_CARDS)) is None:
            return
        count = next(n for n in range(1, MORE_CARDS + 1) if self._with(self._wanted, more=_more(usable, n)) is not None)
        yield f"on {counted(len(self.cards) + count)} ({count} more {_more(usable, 1)[0].kind})"

    def _longest(self, wish: Wish) -> int:
        """The longest request with which it fits, by halving; 0 where no shorter one helps."""
        most, own = wish.max_model_len, wish.shape.max_position_embeddings
        if own and own < most and self._at(wish, own):
            return own
        low, high = LEAST_TOKENS // STEP_TOKENS, -(-most // STEP_TOKENS)
        if low >= high or not self._at(wish, low * STEP_TOKENS):
            return 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._at(wish, middle * STEP_TOKENS) else (low, middle)
        return low * STEP_TOKENS

    def _at(self, wish: Wish, tokens: int) -> bool:
        return self._with(replace(wish, context_tokens=tokens)) is not None

    def _narrower_without(self) -> Iterator[str]:
        """Where no room can be made beside all others."""
        for wish in self._forms():
            fewer = self._without(wish)
            if fewer:
                yield f"{worded(wish)} without {' and '.join(fewer)}"

    def _without(self, wish: Wish) -> tuple[str, ...]:
        """Which others have to go: one if that does and leaves nobody else with less, else all. None if none helps."""
        short = {self.found.wishes[place].shape.name for place in lacking(self.found)}
        for one in self._others:
            kept = [wish, *(each for each in self._others if each is not one)]
            tried = self._reached(kept, self.cards, 0)
            if tried is not None and {kept[place].shape.name for place in lacking(tried)} <= short:
                return (one.shape.name,)
        if not self._others or self._reached([wish], self.cards, 0) is None:
            return ()
        return tuple(each.shape.name for each in self._others)

    def _with(self, wish: Wish, *, more: Sequence[PlanCard] = ()) -> Allotment | None:
        """The plan in which this wish is another one, if it comes true there and no other has to give way."""
        wishes = [wish if place == self.wish else each for place, each in enumerate(self.found.wishes)]
        tried = self._reached(wishes, [*self.cards, *more], self.wish)
        return tried if tried is not None and set(lacking(tried)) <= set(lacking(self.found)) else None

    def _reached(self, wishes: Sequence[Wish], cards: Sequence[PlanCard], wish: int) -> Allotment | None:
        allowed = [chips_for(each, cards, self.known) for each in wishes]
        tried = allot(wishes, cards, allowed=allowed, bounds=self.found.bounds)
        return None if wish in lacking(tried) else tried

    def _size(self, tried: Allotment) -> str:
        """On how many cards a replica is there."""
        return counted(min(len(group.cards) for group in tried.given[self.wish]))


def lacking(found: Allotment) -> tuple[int, ...]:
    """Wishes with fewer replicas than were asked for."""
    return tuple(
        place
        for place, (wish, groups) in enumerate(zip(found.wishes, found.given, strict=True))
        if len(groups) < wish.replicas
    )


def counted(count: int) -> str:
    """`1 card`, `5 cards`."""
    return "1 card" if count == 1 else f"{count} cards"


def _more(cards: Sequence[PlanCard], count: int) -> list[PlanCard]:
    """So many more of the kind that there is most of."""
    kinds = Counter((card.kind, card.vram_bytes) for card in cards)
    common = max(kinds, key=lambda kind: (kinds[kind], kind[1], kind[0]))
    model = next(card for card in cards if (card.kind, card.vram_bytes) == common)
    first = 1 + max(card.index for card in cards)
    return [replace(model, id=f"more {number}", index=first + number) for number in range(count)]
