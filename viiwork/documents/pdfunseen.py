"""Which text of a PDF's page nobody sees: drawn invisibly, in white on white, or too small to be made out.

The calls are made by prototypes of our own: pypdfium2's make a pointer object of each handle and let go of the
interpreter's lock for each call, which costs twice as much. A reading process has one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import addressof, c_float, c_int, c_uint, c_void_p
from dataclasses import dataclass
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.unseen import INVISIBLE, SMALLEST_PT, TINY, WHITE, WHITE_FROM, count, telling

MAX_PIECES = 50_000
"""Of a page that are looked at."""
MAX_NESTING = 8
MAX_AREAS = 1_000
"""Of white text, and of what may lie under it, that are held against each other on a page."""
NOT_TEXT = -1
FILLED = (pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_FILL_CLIP)
UNDRAWN = (pdfium.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium.FPDF_TEXTRENDERMODE_CLIP)


def _call(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    return ctypes.PYFUNCTYPE(result, *arguments)(ctypes.cast(function, c_void_p).value or 0)


_on_page = _call(pdfium.FPDFPage_CountObjects, c_int, c_void_p)
_of_page = _call(pdfium.FPDFPage_GetObject, c_void_p, c_void_p, c_int)
_in_form = _call(pdfium.FPDFFormObj_CountObjects, c_int, c_void_p)
_of_form = _call(pdfium.FPDFFormObj_GetObject, c_void_p, c_void_p, c_int)
_type = _call(pdfium.FPDFPageObj_GetType, c_int, c_void_p)
_mode = _call(pdfium.FPDFTextObj_GetTextRenderMode, c_int, c_void_p)
_size = _call(pdfium.FPDFTextObj_GetFontSize, c_int, c_void_p, c_void_p)
_matrix = _call(pdfium.FPDFPageObj_GetMatrix, c_int, c_void_p, c_void_p)
_colour = _call(pdfium.FPDFPageObj_GetFillColor, c_int, *[c_void_p] * 5)
_draws = _call(pdfium.FPDFPath_GetDrawMode, c_int, c_void_p, c_void_p, c_void_p)
_sides = _call(pdfium.FPDFPageObj_GetBounds, c_int, *[c_void_p] * 5)
# Filled by the calls: new ones for each piece would cost as much as the calls.
_SIZE, _MATRIX, _SHADES = c_float(), pdfium.FS_MATRIX(), (c_uint * 4)()
_words = _call(pdfium.FPDFTextObj_GetText, ctypes.c_ulong, c_void_p, c_void_p, c_void_p, ctypes.c_ulong)


@dataclass(frozen=True, slots=True)
class Piece:
    """One object of a page: its handle, when it is drawn, and whether it is part of a form."""

    handle: int
    order: int
    nested: bool


@dataclass(frozen=True, slots=True)
class Unseen:
    """What of a page's text nobody sees."""

    kinds: tuple[str, ...] = ()
    scan: bool = False
    """The page is a picture, and all its text lies invisibly over it: what text recognition makes."""


def look(page: pypdfium2.PdfPage, textpage: pypdfium2.PdfTextPage) -> Unseen:
    """Backgrounds are looked at only where there is white text."""
    suspects: list[tuple[str, Piece]] = []
    drawn = 0
    for handle, order, depth, scale in _pieces(page):
        mode = _mode(handle)
        if mode == NOT_TEXT:
            continue
        drawn += 1
        if kind := _kind(handle, mode, scale):
            suspects.append((kind, Piece(handle, order, depth > 0)))
    if not suspects:
        return Unseen()
    if any(kind == WHITE for kind, _ in suspects):
        suspects = [(kind, piece) for kind, piece in suspects if kind != WHITE] + _white(page, suspects)
    kinds = telling(count((kind, _text(piece.handle, textpage)) for kind, piece in suspects))
    alone = kinds == (INVISIBLE,) and sum(kind == INVISIBLE for kind, _ in suspects) == drawn
    scan = alone and any(_type(handle) == pdfium.FPDF_PAGEOBJ_IMAGE for handle, *_ in _pieces(page))
    return Unseen(() if scan else kinds, scan)


def _white(page: pypdfium2.PdfPage, suspects: list[tuple[str, Piece]]) -> list[tuple[str, Piece]]:
    """The white pieces of text under which nothing dark is."""
    dark = [
        (Piece(handle, order, depth > 0), _bounds(handle))
        for handle, order, depth, _ in _pieces(page)
        if _is_dark(handle)
    ][:MAX_AREAS]
    white = [(kind, piece) for kind, piece in suspects if kind == WHITE][:MAX_AREAS]
    return [(kind, piece) for kind, piece in white if not _stands_out(piece, dark)]


def _pieces(page: pypdfium2.PdfPage) -> Iterator[tuple[int, int, int, float]]:
    """All objects as they are drawn, those of forms in their place: handle, order, depth in forms, what those grow."""
    whole = ctypes.cast(page.raw, c_void_p).value
    todo = [(_of_page(whole, index), 1.0, 0) for index in _backwards(_on_page(whole))]
    order = 0
    while todo and order < MAX_PIECES:
        handle, scale, depth = todo.pop()
        order += 1
        if _mode(handle) != NOT_TEXT or _type(handle) != pdfium.FPDF_PAGEOBJ_FORM:
            yield handle, order, depth, scale
        elif depth < MAX_NESTING:
            inner = scale * _scale(handle)
            todo += [(_of_form(handle, index), inner, depth + 1) for index in _backwards(_in_form(handle))]


def _backwards(length: int) -> range:
    return range(min(length, MAX_PIECES) - 1, -1, -1)


def _kind(handle: int, mode: int, scale: float) -> str:
    if mode in UNDRAWN:
        return INVISIBLE
    if _size(handle, addressof(_SIZE)) and 0 < abs(_SIZE.value) * scale * _scale(handle) < SMALLEST_PT:
        return TINY
    colour = _fill(handle) if mode in FILLED else None
    if colour is None:
        return ""
    if colour[3] == 0:
        return INVISIBLE
    return WHITE if min(colour[:3]) >= WHITE_FROM else ""


def _scale(handle: int) -> float:
    """By how much the object's matrix grows what it holds."""
    if not _matrix(handle, addressof(_MATRIX)):
        return 1.0
    return float(abs(_MATRIX.a * _MATRIX.d - _MATRIX.b * _MATRIX.c) ** 0.5)


def _fill(handle: int) -> tuple[int, ...] | None:
    """Red, green, blue and opacity, or None where the object has a pattern or none of them."""
    start = addressof(_SHADES)
    return tuple(_SHADES) if _colour(handle, start, start + 4, start + 8, start + 12) else None


def _is_dark(handle: int) -> bool:
    """Whether white text could be seen on it: a picture, a gradient, or an area that is filled and not with white."""
    kind = _type(handle)
    if kind in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING):
        return True
    fill, stroke = c_int(), c_int()
    if kind != pdfium.FPDF_PAGEOBJ_PATH or not _draws(handle, addressof(fill), addressof(stroke)) or not fill.value:
        return False
    colour = _fill(handle)
    return colour is None or (colour[3] > 0 and min(colour[:3]) < WHITE_FROM)


def _stands_out(piece: Piece, dark: list[tuple[Piece, tuple[float, float, float, float]]]) -> bool:
    """Whether something dark was drawn before, under its middle. Inside forms places mean something else: anywhere."""
    left, bottom, right, top = _bounds(piece.handle)
    x, y = (left + right) / 2, (bottom + top) / 2
    for area, (left, bottom, right, top) in dark:
        if area.order > piece.order:
            return False
        if piece.nested or area.nested:
            return True
        if left <= x <= right and bottom <= y <= top:
            return True
    return False


def _bounds(handle: int) -> tuple[float, float, float, float]:
    sides = (c_float * 4)()
    start = addressof(sides)
    _sides(handle, start, start + 4, start + 8, start + 12)
    left, bottom, right, top = sides
    return left, bottom, right, top


def _text(handle: int, textpage: pypdfium2.PdfTextPage) -> str:
    layer = ctypes.cast(textpage.raw, c_void_p).value
    buffer = ctypes.create_string_buffer(_words(handle, layer, None, 0))
    _words(handle, layer, addressof(buffer), len(buffer))
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0")
