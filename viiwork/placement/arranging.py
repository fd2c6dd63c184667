"""A plan's equal cards dealt anew, so that each group has neighbours: what was given out stays as good as it was. Pure.

While replicas are given out one by one, a single card may take a place in the middle of what a group needs later, and
a group that is widened at the end gets whatever is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from viiwork.placement.beside import beside
from viiwork.placement.cards import PlanCard
from viiwork.placement.grouping import Group, numbered

Sort = tuple[str, int, float | None]


def arranged(
    given: Sequence[Sequence[Group]], free: Sequence[PlanCard]
) -> tuple[list[list[Group]], tuple[PlanCard, ...]]:
    """The same groups on cards of the same sorts, by wish and place, and what is free then.

    The largest group chooses first, of equals that of the first wish. A wish's groups are in the order of their cards.
    """
    pool = list(numbered([*free, *(card for groups in given for group in groups for card in group.cards)]))
    dealt: list[list[Group]] = [[] for _ in given]
    places = [(wish, group) for wish, groups in enumerate(given) for group in groups]
    for wish, group in sorted(places, key=lambda each: (-len(each[1].cards), each[0])):
        cards = _alike(group.cards, pool)
        pool = [card for card in pool if card not in cards]
        dealt[wish].append(replace(group, cards=cards))
    return [sorted(groups, key=lambda group: group.cards[0].index) for groups in dealt], tuple(pool)


def _alike(cards: Sequence[PlanCard], pool: Sequence[PlanCard]) -> tuple[PlanCard, ...]:
    """As many of each sort as these are, beside each other where the pool has such."""
    wanted = Counter(_sort(card) for card in cards)
    found = (beside([card for card in pool if _sort(card) == sort], count) for sort, count in wanted.items())
    return numbered(card for each in found for card in each)


def _sort(card: PlanCard) -> Sort:
    """Cards of one sort serve as well as each other in every group: chip, memory and link."""
    return card.arch, card.vram_bytes, card.link_bytes_s
