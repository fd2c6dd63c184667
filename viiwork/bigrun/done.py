"""What of an output is done, by the content of its files. Pure.

A file is done where everything that came of it has an answer, or a reason that is of its content: an archive's members
share its place. Of files with the same content one answer does for one file, whatever it is called now; each further
one needs its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from viiwork.documents.outcomes import OF_CONTENT

BY_LIMITS = frozenset({"too_big"})
"""Of the content as long as the service's limits are what they were, and these may be raised."""

Place = tuple[str, int]
"""An analysis, and where in the order of sending."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a row of an output says of itself."""

    analysis: str
    index: int
    """The place of its file among all that were sent."""
    answered: bool
    code: str = ""
    """Why it has no answer."""

    @property
    def place(self) -> Place:
        """What it shares with whatever else came of its file."""
        return self.analysis, self.index


@dataclass(slots=True)
class Came:
    """What came of one file."""

    answers: int = 0
    open: bool = False
    """Something has no answer, and may have one if it is asked again."""
    limited: bool = False

    @property
    def done(self) -> bool:
        """Whether asking again would give no more. What was over a limit alone costs no answer to try again."""
        return not self.open and (self.answers > 0 or not self.limited)


Sent = Mapping[str, Sequence[str]]
"""Of each analysis the digests of its files, in the order of sending."""


def digest_of(place: Place, sent: Sent) -> str:
    """The digest of the file at a place; empty where that is not known."""
    analysis, index = place
    files = sent.get(analysis, ())
    return files[index] if 0 <= index < len(files) else ""


def answered(rows: Iterable[Told], sent: Sent) -> Counter[str]:
    """How many files of each content are done."""
    done = (place for place, came in _came(rows).items() if came.done)
    return Counter(digest for place in done if (digest := digest_of(place, sent)))


def pending(files: Sequence[str], done: Mapping[str, int]) -> list[int]:
    """The places of the files, given by their digests, that are still to be done."""
    left, places = Counter(done), list[int]()
    for place, digest in enumerate(files):
        if left[digest] > 0:
            left[digest] -= 1
        else:
            places.append(place)
    return places


def surpassed(
    rows: Iterable[Told], sent: Sent, *, running: Collection[str] = (), cut_off: Collection[str] = ()
) -> set[Place]:
    """The places whose rows are to go: another analysis did for the file, or came to less than was there.

    Analyses are taken in the order of `sent`. Each place of a later one does for one that was not done before, once it
    has as many answers, or is done. One with fewer goes itself, unless its analysis is still `running`. Of those that
    were `cut_off` nobody knows whether a file's rows are all.
    """
    came, gone = _came(rows), set[Place]()
    not_done = defaultdict[str, list[Place]](list)
    for analysis, files in sent.items():
        left = list[Place]()
        for place in ((analysis, index) for index in range(len(files)) if (analysis, index) in came):
            before = next(iter(not_done[digest_of(place, sent)]), None)
            whole = came[place].done and analysis not in running and analysis not in cut_off
            if before is not None and not whole and came[place].answers < came[before].answers:
                gone |= set() if analysis in running else {place}
                continue
            if before is not None:
                not_done[digest_of(before, sent)].remove(before)
                gone.add(before)
            left += [] if came[place].done or analysis in running else [place]
        for place in left:
            not_done[digest_of(place, sent)].append(place)
    return gone


def _came(rows: Iterable[Told]) -> dict[Place, Came]:
    came = defaultdict[Place, Came](Came)
    for row in rows:
        found = came[row.place]
        found.answers += row.answered
        found.open = found.open or not (row.answered or row.code in OF_CONTENT)
        found.limited = found.limited or row.code in BY_LIMITS
    return dict(came)
