"""Which text of a PDF's page nobody sees: drawn invisibly, in white on white, or too small to be made out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.pdfpieces import NOT_TEXT, Handle, Run, bounds, drawings, fill, is_filled, runs, style, type_of
from viiwork.documents.pdfpieces import words as words_of
from viiwork.documents.unseen import INVISIBLE, MIN_CHARACTERS, SMALLEST_PT, TINY, WHITE, WHITE_FROM, count, telling

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


def look(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> Unseen:
    """Backgrounds are looked at only where there is white text, what a piece says only where it is not seen."""
    drawn = list(runs(page))
    suspects = [suspect for run in drawn for suspect in _suspects(run)]
    if not suspects:
        return Unseen()
    if any(kind == WHITE for kind, _ in suspects):
        suspects = [(kind, piece) for kind, piece in suspects if kind != WHITE] + _white(drawn, suspects)
    kinds = telling(_count(suspects, textpage))
    pieces = sum(mode != NOT_TEXT for run in drawn for mode in run.modes)
    alone = kinds == (INVISIBLE,) and sum(kind == INVISIBLE for kind, _ in suspects) == pieces
    scan = alone and any(type_of(other) == pdfium.FPDF_PAGEOBJ_IMAGE for run in drawn for _, other in run.others)
    return Unseen(() if scan else kinds, scan)


def _suspects(run: Run) -> Iterator[tuple[str, Piece]]:
    """Pages have thousands of pieces and a handful of ways to draw them: each way is judged once."""
    for mode in set(run.modes) - {NOT_TEXT}:
        texts = [handle for handle, its in zip(run.handles, run.modes, strict=True) if its == mode]
        ways = [b""] * len(texts) if mode in UNDRAWN else drawings(texts)
        kinds = {way: kind for way in set(ways) if (kind := _kind(way, mode, scale=run.scale))}
        if kinds:
            orders = [order for order, its in enumerate(run.modes, run.order) if its == mode]
            told = zip(ways, texts, orders, strict=True)
            yield from ((kinds[way], Piece(text, order, run.nested)) for way, text, order in told if way in kinds)


def _kind(drawn: bytes, mode: int, *, scale: float) -> str:
    if mode in UNDRAWN:
        return INVISIBLE
    way = style(drawn)
    if 0 < way.size * scale < SMALLEST_PT:
        return TINY
    if mode not in FILLED:
        return ""
    *colour, opacity = way.shades
    if opacity == 0:
        return INVISIBLE
    return WHITE if min(colour) >= WHITE_FROM else ""


def _count(suspects: Sequence[tuple[str, Piece]], textpage: pypdfium2.PdfTextPage) -> Counter[str]:
    """The characters of each kind, until there are enough: asking for those of all pieces takes their square."""
    found: Counter[str] = Counter()
    for kind, piece in suspects:
        if found[kind] < MIN_CHARACTERS:
            found += count([(kind, words_of(piece.handle, textpage))])
    return found


def _white(drawn: Sequence[Run], suspects: Sequence[tuple[str, Piece]]) -> list[tuple[str, Piece]]:
    """The white pieces of text under which nothing dark is."""
    others = (Piece(handle, order, run.nested) for run in drawn for order, handle in run.others)
    dark = [(piece, bounds(piece.handle)) for piece in others if _is_dark(piece.handle)][:MAX_AREAS]
    white = [(kind, piece) for kind, piece in suspects if kind == WHITE][:MAX_AREAS]
    return [(kind, piece) for kind, piece in white if not _stands_out(piece, dark)]


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
