"""What stands on a PDF's page, object by object, as PDFium tells it: many at a time, for a page may have thousands.

The calls are made by prototypes of our own, over lists, into records that are used again: 1 us for all five of a piece
of text, a fifth of what pypdfium2's cost, which make a pointer object of each handle and let go of the interpreter's
lock for each call. A reading process has one thread.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from ctypes import Structure, byref, c_float, c_int, c_uint, c_ulong, c_void_p, sizeof
from dataclasses import dataclass
from itertools import repeat
from struct import Struct
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

MAX_PIECES = 50_000
"""Of a page that are looked at."""
MAX_NESTING = 8
NOT_TEXT = -1
AT_ONCE = 1024


class Handle(c_void_p):
    """An object of a page. A class of its own goes through the calls as it is; a plain pointer becomes a number."""

    __slots__ = ()  # a page may have thousands


def call(function: Any, result: Any) -> Callable[..., Any]:
    """Without types of arguments, which cost more than the call: handles, numbers under 2^31 and references only."""
    return ctypes.PYFUNCTYPE(result)(ctypes.cast(function, c_void_p).value or 0)


_on_page = call(pdfium.FPDFPage_CountObjects, c_int)
_of_page = call(pdfium.FPDFPage_GetObject, Handle)
_in_form = call(pdfium.FPDFFormObj_CountObjects, c_int)
_of_form = call(pdfium.FPDFFormObj_GetObject, Handle)
type_of = call(pdfium.FPDFPageObj_GetType, c_int)
_mode = call(pdfium.FPDFTextObj_GetTextRenderMode, c_int)
_size = call(pdfium.FPDFTextObj_GetFontSize, c_int)
_matrix = call(pdfium.FPDFPageObj_GetMatrix, c_int)
_colour = call(pdfium.FPDFPageObj_GetFillColor, c_int)
_draws = call(pdfium.FPDFPath_GetDrawMode, c_int)
_sides = call(pdfium.FPDFPageObj_GetBounds, c_int)
_words = call(pdfium.FPDFTextObj_GetText, c_ulong)


class _Look(Structure):
    """One record: what is behind `d` differs from piece to piece and is no part of its style."""

    _fields_ = (
        ("shades", c_uint * 4),
        ("size", c_float),
        ("matrix", c_float * 6),
    )


_STYLE = Struct("=4I5f")
_STYLES = Struct(f"={_STYLE.size}s{sizeof(_Look) - _STYLE.size}x")
_PLAIN = _Look((0, 0, 0, 255), 0.0, (1, 0, 0, 1, 0, 0))
"""What stands where a call gives nothing: black, a size that is none, not grown."""
_looks = (_Look * AT_ONCE)()
_plain = (_Look * AT_ONCE)(*repeat(_PLAIN, AT_ONCE))
_places = [[byref(_looks, record * sizeof(_Look) + 4 * field) for record in range(AT_ONCE)] for field in range(6)]
_one = _Look()


@dataclass(frozen=True, slots=True)
class Style:
    """How a piece of text is drawn: its fill (of 255 each, opacity last), and how high its letters are in its form."""

    shades: tuple[int, int, int, int]
    size: float


@dataclass(frozen=True, slots=True)
class Run:
    """Objects that are drawn one after the other, with their render modes (`NOT_TEXT` for what is not text)."""

    handles: Sequence[Handle]
    modes: Sequence[int]
    order: int
    """When the first one is drawn."""
    scale: float
    """By how much the forms that it is in grow it."""
    nested: bool
    """It is in a form."""

    @property
    def others(self) -> Iterator[tuple[int, Handle]]:
        """What is not text, and when it is drawn."""
        drawn = zip(self.modes, self.handles, strict=True)
        return ((order, handle) for order, (mode, handle) in enumerate(drawn, self.order) if mode == NOT_TEXT)


@dataclass(frozen=True, slots=True)
class _Form:
    """Objects that are not looked at yet: those of the page, or of a form on it."""

    handles: Sequence[Handle]
    scale: float = 1.0
    depth: int = 0


def runs(page: pypdfium2.PdfPage) -> Iterator[Run]:
    """All objects in the order in which they are drawn, those of forms in their place."""
    whole = Handle(ctypes.cast(page.raw, c_void_p).value)
    todo: list[Run | _Form] = [_Form(_listed(whole, _on_page, _of_page))]
    order = 0
    while todo and order < MAX_PIECES:
        part = todo.pop()
        if isinstance(part, Run):
            yield Run(part.handles, part.modes, order, part.scale, part.nested)
            order += len(part.handles)
        else:
            todo += reversed(list(_split(part)))
            order += part.depth > 0


def _listed(owner: Handle, counted: Callable[..., int], of: Callable[..., Handle]) -> list[Handle]:
    return list(map(of, repeat(owner), range(min(counted(owner), MAX_PIECES))))


def _split(form: _Form) -> Iterator[Run | _Form]:
    """The runs of its objects and the forms between them."""
    handles, modes = form.handles, list(map(_mode, form.handles))
    start = 0
    for at in _forms(handles, modes):
        yield Run(handles[start:at], modes[start:at], 0, form.scale, form.depth > 0)
        start = at + 1
        if form.depth < MAX_NESTING:
            inner = _listed(handles[at], _in_form, _of_form)
            yield _Form(inner, form.scale * _grown(handles[at]), form.depth + 1)
    yield Run(handles[start:], modes[start:], 0, form.scale, form.depth > 0)


def _forms(handles: Sequence[Handle], modes: Sequence[int]) -> list[int]:
    if NOT_TEXT not in modes:
        return []
    others = (at for at, mode in enumerate(modes) if mode == NOT_TEXT)
    return [at for at in others if type_of(handles[at]) == pdfium.FPDF_PAGEOBJ_FORM]


def _grown(handle: Handle) -> float:
    """By how much the object's matrix grows what it holds."""
    ctypes.pointer(_one)[0] = _PLAIN
    _matrix(handle, byref(_one, _Look.matrix.offset))
    return _growth(*_one.matrix[:4])


def _growth(a: float, b: float, c: float, d: float) -> float:
    return float(abs(a * d - b * c) ** 0.5)


def drawings(handles: Sequence[Handle]) -> list[bytes]:
    """How each piece of text is drawn: equal where they are drawn alike, and `style` says what it means."""
    if len(handles) <= AT_ONCE:
        return _drawings(handles)
    parts = (handles[start : start + AT_ONCE] for start in range(0, len(handles), AT_ONCE))
    return [drawn for part in parts for drawn in _drawings(part)]


def _drawings(handles: Sequence[Handle]) -> list[bytes]:
    ctypes.memmove(_looks, _plain, len(handles) * sizeof(_Look))
    red, green, blue, opacity, size, matrix = _places
    for _ in map(_size, handles, size):
        pass
    for _ in map(_matrix, handles, matrix):
        pass
    for _ in map(_colour, handles, red, green, blue, opacity):
        pass
    records = memoryview(_looks).cast("B")[: len(handles) * sizeof(_Look)]
    return [drawn for (drawn,) in _STYLES.iter_unpack(records)]


def style(drawn: bytes) -> Style:
    """What one of the `drawings` means."""
    red, green, blue, opacity, size, *matrix = _STYLE.unpack(drawn)
    return Style((red, green, blue, opacity), abs(size) * _growth(*matrix))


def fill(handle: Handle) -> tuple[int, ...] | None:
    """Red, green, blue and opacity, or None where the object has a pattern or none of them."""
    return tuple(_one.shades) if _colour(handle, *(byref(_one, 4 * shade) for shade in range(4))) else None


def is_filled(handle: Handle) -> bool:
    """Whether a path is drawn as an area."""
    mode, stroke = c_int(), c_int()
    return bool(_draws(handle, byref(mode), byref(stroke)) and mode.value)


def bounds(handle: Handle) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    sides = (c_float * 4)()
    _sides(handle, *(byref(sides, 4 * side) for side in range(4)))
    left, bottom, right, top = sides
    return left, bottom, right, top


def words(handle: Handle, textpage: pypdfium2.PdfTextPage) -> str:
    """The text of one piece. It looks through all letters of the page for it."""
    layer = ctypes.cast(textpage.raw, c_void_p)
    buffer = ctypes.create_string_buffer(_words(handle, layer, None, c_ulong(0)))
    _words(handle, layer, buffer, c_ulong(len(buffer)))
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0")
