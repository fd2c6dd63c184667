"""Which of equal cards: neighbours for a group, and for a card alone one whose place breaks no group. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from viiwork.placement.cards import PlanCard


def first_of(
    cards: Sequence[PlanCard], count: int, *, by: Callable[[PlanCard], tuple[float, ...]]
) -> tuple[PlanCard, ...]:
    """So many of the best, those with the least by that measure; of equals neighbours. Fewer where there are fewer."""
    keys = {card.id: by(card) for card in cards}
    ordered = sorted(cards, key=lambda card: (keys[card.id], card.index, card.id))
    if not 0 < count < len(ordered):
        return tuple(ordered[:count])
    worst = keys[ordered[count - 1].id]
    better = [card for card in ordered if keys[card.id] < worst]
    equal = [card for card in ordered if keys[card.id] == worst]
    return (*better, *beside(equal, count - len(better)))


def beside(cards: Sequence[PlanCard], count: int) -> tuple[PlanCard, ...]:
    """So many of them with consecutive numbers, out of the shortest row that has as many: longer ones stay whole for
    groups. Where none has, those that lie closest. Of equal ones those with the lowest numbers.
    """
    rows = _rows(cards)
    whole = [row for row in rows if len(row) >= count]
    if whole:
        return tuple(sorted(whole, key=len)[0][:count])
    ordered = [card for row in rows for card in row]
    windows = (tuple(ordered[at : at + count]) for at in range(max(1, len(ordered) - count + 1)))
    return min(windows, key=_span)


def _span(cards: Sequence[PlanCard]) -> int:
    return cards[-1].index - cards[0].index if cards else 0


def _rows(cards: Sequence[PlanCard]) -> list[list[PlanCard]]:
    """Those with consecutive numbers together, the lowest first."""
    rows: list[list[PlanCard]] = []
    for card in sorted(cards, key=lambda each: (each.index, each.id)):
        if rows and card.index - rows[-1][-1].index == 1:
            rows[-1].append(card)
        else:
            rows.append([card])
    return rows
