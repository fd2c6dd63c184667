"""Which documents a pilot takes. Pure: the same names, number and seed give the same ones, on every computer."""

from __future__ import annotations

import random
from collections.abc import Sequence


def sampled(names: Sequence[str], count: int, *, seed: int) -> list[int]:
    """The places of `count` documents drawn at random, in their order; all where there are no more.

    They are drawn by their names in order, so it does not matter in which order the files were found.
    """
    if count >= len(names):
        return list(range(len(names)))
    by_name = sorted(range(len(names)), key=lambda place: (names[place], place))
    return sorted(random.Random(seed).sample(by_name, count))  # noqa: S311 - no secret: it is to be drawn again
