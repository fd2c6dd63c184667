"""How many parts a long document is cut into, and which pieces make which: so that several cards end together. Pure.

Filled to the brim, 400 pages make 34 parts for a context of 8,192 tokens: 9, 9, 8 and 8 on four cards. As 36 smaller
ones they are done 6 % sooner there, and no later on two, three and six. It does not depend on the cards that are there
today: the same document is always cut alike.
"""

from __future__ import annotations

from collections.abc import Sequence

EVEN_FROM = 16
"""With fewer parts, one more costs too much."""
MORE = 1 / 8
"""So many more parts at most."""
CALL = 0.1
"""What one more engine call costs, of what it takes to read a full part: its instructions and its answer."""
CARDS = (2, 3, 4, 5, 6, 8)
"""Fleets that it shall suit."""
FILL = 0.94
"""Of a full part, as pieces pack it."""


def parts_for(tokens: int, room: int) -> int:
    """Into how many parts of at most `room` tokens so many are to be cut; 0 where as few as possible is best."""
    least = -(-tokens // max(1, int(room * FILL)))
    if least < EVEN_FROM:
        return 0
    return min(range(least, int(least * (1 + MORE)) + 1), key=lambda parts: _waste(parts) + CALL * parts / least)


def shared_out(tokens: Sequence[int], parts: int, room: int) -> list[tuple[int, int]]:
    """The first and the last piece of each of `parts` parts, as even as pieces of so many tokens allow.

    Empty where that does not fit.
    """
    spans: list[tuple[int, int]] = []
    first, left = 0, sum(tokens)
    for still in range(parts, 0, -1):
        last, held = _up_to(tokens, first, left / still, room)
        if first >= len(tokens) or held > room:
            return []
        spans.append((first, last))
        first, left = last + 1, left - held
    return spans if first == len(tokens) else []


def _up_to(tokens: Sequence[int], first: int, wanted: float, room: int) -> tuple[int, int]:
    """The piece with which a part of about `wanted` tokens ends, and how many these are."""
    last, held = first, tokens[first] if first < len(tokens) else 0
    while last + 1 < len(tokens):
        more = tokens[last + 1]
        if held + more > room or held + more / 2 > wanted:
            break
        last, held = last + 1, held + more
    return last, held


def _waste(parts: int) -> float:
    """How much longer than an even share the fullest card has, on the average of the fleets."""
    return sum(-(-parts // cards) * cards / parts for cards in CARDS) / len(CARDS)
