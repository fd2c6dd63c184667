"""Which text of a PDF's page nobody sees: drawn invisibly, in white on white, or too small to be made out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import pypdfium2.raw as pdfium

from viiwork.documents.pdfpieces import (
    MODES,
    NOT_TEXT,
    Handle,
    Run,
    bounds,
    drawings,
    each,
    fill,
    is_filled,
    runs,
    style,
    type_of,
    ways,
    words,
)
from viiwork.documents.unseen import INVISIBLE, KINDS, MIN_CHARACTERS, SMALLEST_PT, TINY, WHITE, WHITE_FROM, telling

MAX_AREAS = 1_000
"""Of white text, and of what may lie under it, that are held against each other on a page."""
FILLED = (pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_FILL_CLIP)
UNDRAWN = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of a page: its handle, when it is drawn, and whether it is part of a form."""

    handle: Handle
    order: int
    nested: bool


@dataclass(frozen=True, slots=True)
class Unseen:
    """What of a page's text nobody sees."""

    kinds: tuple[str, ...] = ()
    scan: bool = False
    """The page is a picture, and all its text lies invisibly over it: what text recognition makes."""


SEEN = Unseen()
"""All of it."""


@dataclass(frozen=True, slots=True)
class Suspects:
    """The pieces of a run that nobody may see, for one reason."""

    kind: str
    run: Run
    places: Sequence[int]

    @property
    def pieces(self) -> Iterator[Piece]:
        run = self.run
        return (Piece(run.handles[place], run.order + place, run.nested) for place in self.places)


def look(page: Handle, textpage: Handle) -> Unseen:
    """Backgrounds are looked at only where there is white text, what a piece says only where it is not seen."""
    drawn = list(runs(page))
    suspects = [suspect for run in drawn for suspect in _suspects(run)]
    if not suspects:
        return SEEN
    kinds = telling({kind: _characters(_unseen(kind, suspects, drawn), textpage) for kind in KINDS})
    invisible = sum(len(its.places) for its in suspects if its.kind == INVISIBLE)
    alone = kinds == (INVISIBLE,) and invisible == sum(len(run.modes) - run.modes.count(NOT_TEXT) for run in drawn)
    scan = alone and any(type_of(other) == pdfium.FPDF_PAGEOBJ_IMAGE for run in drawn for _, other in run.others)
    return Unseen(() if scan else kinds, scan)


def _suspects(run: Run) -> Iterator[Suspects]:
    """Pages have thousands of pieces and a handful of ways to draw them: each way is judged once."""
    for mode in filter(run.modes.__contains__, MODES):
        if mode in UNDRAWN:
            yield Suspects(INVISIBLE, run, run.places(mode))
            continue
        drawn = drawings(run.pieces(mode))
        kinds = {way: kind for way in ways(drawn) if (kind := _kind(way, is_filled=mode in FILLED, scale=run.scale))}
        for kind in set(kinds.values()):
            told = zip(each(drawn), run.places(mode), strict=True)
            yield Suspects(kind, run, [place for way, place in told if kinds.get(way) == kind])


@lru_cache(maxsize=4096)
def _kind(way: tuple[bytes], *, is_filled: bool, scale: float) -> str:
    """The pages of a document have their ways in common."""
    drawn = style(way)
    if 0 < drawn.size * scale < SMALLEST_PT:
        return TINY
    if not is_filled:
        return ""
    *colour, opacity = drawn.shades
    if opacity == 0:
        return INVISIBLE
    return WHITE if min(colour) >= WHITE_FROM else ""


def _unseen(kind: str, suspects: Sequence[Suspects], drawn: Sequence[Run]) -> Iterator[Piece]:
    pieces = (piece for its in suspects if its.kind == kind for piece in its.pieces)
    return pieces if kind != WHITE else _on_nothing_dark(list(islice(pieces, MAX_AREAS)), drawn)


def _characters(pieces: Iterator[Piece], textpage: Handle) -> int:
    """How many that are not blank they have, until there are enough: asking all for theirs takes their square."""
    found = 0
    for piece in pieces:
        found += len("".join(words(piece.handle, textpage).split()))
        if found >= MIN_CHARACTERS:
            break
    return found


def _on_nothing_dark(white: Sequence[Piece], drawn: Sequence[Run]) -> Iterator[Piece]:
    if white:
        others = (Piece(handle, order, run.nested) for run in drawn for order, handle in run.others)
        dark = [(piece, bounds(piece.handle)) for piece in others if _is_dark(piece.handle)][:MAX_AREAS]
        yield from (piece for piece in white if not _stands_out(piece, dark))


def _is_dark(handle: Handle) -> bool:
    """Whether white text could be seen on it: a picture, a gradient, or an area that is filled and not with white."""
    kind = type_of(handle)
    if kind in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING):
        return True
    if kind != pdfium.FPDF_PAGEOBJ_PATH or not is_filled(handle):
        return False
    colour = fill(handle)
    return colour is None or (colour[3] > 0 and min(colour[:3]) < WHITE_FROM)


def _stands_out(piece: Piece, dark: Sequence[tuple[Piece, tuple[float, float, float, float]]]) -> bool:
    """Whether something dark was drawn before, under its middle. Inside forms places mean something else: anywhere."""
    left, bottom, right, top = bounds(piece.handle)
    x, y = (left + right) / 2, (bottom + top) / 2
    for area, (left, bottom, right, top) in dark:
        if area.order > piece.order:
            return False
        if piece.nested or area.nested:
            return True
        if left <= x <= right and bottom <= y <= top:
            return True
    return False
