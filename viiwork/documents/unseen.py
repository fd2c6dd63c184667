"""Text that is read but that nobody sees: what a document may hide from people is told with its answer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from viiwork.documents.document import named

INVISIBLE = "invisible"
WHITE = "white on white"
TINY = "smaller than 2 points"
KINDS = (INVISIBLE, WHITE, TINY)
SMALLEST_PT = 2.0
MIN_CHARACTERS = 4
"""With fewer of a kind nothing is hidden: programs leave single signs behind."""
WHITE_FROM = 250
"""Of 255, for each of red, green and blue."""


def telling(characters: Mapping[str, int]) -> tuple[str, ...]:
    """The kinds of which there is enough to say something."""
    return tuple(kind for kind in KINDS if characters.get(kind, 0) >= MIN_CHARACTERS)


def count(found: Iterable[tuple[str, str]]) -> Counter[str]:
    """How many characters that are not blank there are of each kind; `found` has kind and text."""
    characters: Counter[str] = Counter()
    for kind, text in found:
        characters[kind] += len("".join(text.split()))
    return characters


def notes_for(kinds: Sequence[str]) -> tuple[str, ...]:
    """For formats without pages."""
    return (f"It has hidden text ({', '.join(kinds)}), which was read too.",) if kinds else ()


def notes_by_page(pages: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """A note for each kind, naming the pages that have such text."""
    told = ((kind, [number for number, kinds in enumerate(pages, 1) if kind in kinds]) for kind in KINDS)
    return tuple(f"{named('Page', where)} hidden text ({kind}), which was read too." for kind, where in told if where)
