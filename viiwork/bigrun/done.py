"""What of an output is done, by the content of its files. Pure.

A file is done where everything that came of it has an answer: an archive's members share its place. Of files with the
same content one answer does for one file, whatever it is called now; each further one needs its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """What a row of an output says of itself."""

    analysis: str
    index: int
    """The place of its file among all that were sent."""
    answered: bool


Sent = Mapping[str, Sequence[str]]
"""Of each analysis the digests of its files, in the order of sending."""


def digest_of(row: Told, sent: Sent) -> str:
    """The digest of the file that a row came of; empty where that is not known."""
    files = sent.get(row.analysis, ())
    return files[row.index] if 0 <= row.index < len(files) else ""


def answered(rows: Iterable[Told], sent: Sent) -> Counter[str]:
    """How many files of each content are done."""
    good: dict[tuple[str, int], bool] = {}
    for row in rows:
        place = (row.analysis, row.index)
        good[place] = good.get(place, True) and row.answered
    places = (Told(analysis, index, True) for (analysis, index), is_good in good.items() if is_good)
    return Counter(digest for place in places if (digest := digest_of(place, sent)))


def pending(files: Sequence[str], done: Mapping[str, int]) -> list[int]:
    """The places of the files, given by their digests, that are still to be done."""
    left, places = Counter(done), list[int]()
    for place, digest in enumerate(files):
        if left[digest] > 0:
            left[digest] -= 1
        else:
            places.append(place)
    return places
