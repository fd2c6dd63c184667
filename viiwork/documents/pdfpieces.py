"""What stands on a PDF's page, object by object, as PDFium tells it: many at a time, for a page may have thousands.

The calls are made by prototypes of our own, over lists, into records that are used again: 0.5 us for all five of a
piece of text, a tenth of what pypdfium2's cost, which make a pointer object of each handle and let go of the
interpreter's lock for each call. A reading process has one thread.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from ctypes import Structure, byref, c_float, c_int, c_ubyte, c_uint, c_ulong, c_void_p, sizeof
from dataclasses import dataclass
from itertools import compress, repeat, starmap
from struct import Struct
from typing import Any, TypeVar

import pypdfium2.raw as pdfium

MAX_PIECES = 50_000
"""Of a page that are looked at."""
MAX_NESTING = 8
MODES = range(8)
NOT_TEXT = 255
"""PDFium's -1 as a byte: modes that are bytes are counted, and looked for, in a tenth of the time of a list."""
FORM = pdfium.FPDF_PAGEOBJ_FORM
AT_ONCE = 1024
_ONLY = {code: bytes(byte == code for byte in range(256)) for code in (*MODES, FORM, NOT_TEXT)}
"""Makes 1 of one code and 0 of all others."""
T = TypeVar("T")

Handle = Any
"""A pointer that ctypes has made an argument of once, for all calls that get it; None is the null pointer."""
handle: Callable[[int | None], Handle] = c_void_p.from_param


def call(function: Any, result: Any) -> Callable[..., Any]:
    """Without types of arguments, which cost more than the call: handles, numbers under 2^31 and references only.

    Of a function that gives a handle `result` is `c_void_p`, and what it gives a number for `handle`. Without a result
    (None) a call takes a tenth less: that is for what is asked of thousands.
    """
    return ctypes.PYFUNCTYPE(result)(ctypes.cast(function, c_void_p).value or 0)


_on_page = call(pdfium.FPDFPage_CountObjects, c_int)
_of_page = call(pdfium.FPDFPage_GetObject, c_void_p)
_in_form = call(pdfium.FPDFFormObj_CountObjects, c_int)
_of_form = call(pdfium.FPDFFormObj_GetObject, c_void_p)
type_of = call(pdfium.FPDFPageObj_GetType, c_int)
_mode = call(pdfium.FPDFTextObj_GetTextRenderMode, c_ubyte)
_size = call(pdfium.FPDFTextObj_GetFontSize, None)
_matrix = call(pdfium.FPDFPageObj_GetMatrix, None)
_colour = call(pdfium.FPDFPageObj_GetFillColor, None)
_has_colour = call(pdfium.FPDFPageObj_GetFillColor, c_int)
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
_EACH = Struct(f"={_STYLE.size}s{sizeof(_Look) - _STYLE.size}x")
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
    modes: bytes
    order: int
    """When the first one is drawn."""
    scale: float
    """By how much the forms that it is in grow it."""
    nested: bool
    """It is in a form."""

    @property
    def others(self) -> Iterator[tuple[int, Handle]]:
        """What is not text, and when it is drawn."""
        return ((self.order + place, self.handles[place]) for place in self.places(NOT_TEXT))

    def places(self, mode: int) -> Sequence[int]:
        """Which of its objects are drawn in one mode."""
        return _those(mode, self.modes, range(len(self.modes)))

    def pieces(self, mode: int) -> Sequence[Handle]:
        """Those objects."""
        return _those(mode, self.modes, self.handles)


@dataclass(frozen=True, slots=True)
class _Form:
    """Objects that are not looked at yet: those of the page, or of a form on it."""

    handles: Sequence[Handle]
    scale: float = 1.0
    depth: int = 0


def runs(page: Handle) -> Iterator[Run]:
    """All objects in the order in which they are drawn, those of forms in their place."""
    todo: list[Run | _Form] = [_Form(_listed(page, _on_page, _of_page))]
    order = 0
    while todo and order < MAX_PIECES:
        part = todo.pop()
        if isinstance(part, Run):
            yield Run(part.handles, part.modes, order, part.scale, part.nested)
            order += len(part.handles)
        else:
            todo += reversed(list(_split(part)))
            order += part.depth > 0


def _listed(owner: Handle, counted: Callable[..., int], of: Callable[..., int | None]) -> list[Handle]:
    count = min(counted(owner), MAX_PIECES)
    return list(map(handle, starmap(of, zip(repeat(owner, count), range(count), strict=True))))


def _split(form: _Form) -> Iterator[Run | _Form]:
    """The runs of its objects and the forms between them."""
    handles, modes = form.handles, bytes(starmap(_mode, zip(form.handles, strict=True)))
    start = 0
    for at in _forms(handles, modes):
        yield Run(handles[start:at], modes[start:at], 0, form.scale, form.depth > 0)
        start = at + 1
        if form.depth < MAX_NESTING:
            inner = _listed(handles[at], _in_form, _of_form)
            yield _Form(inner, form.scale * _grown(handles[at]), form.depth + 1)
    yield Run(handles[start:], modes[start:], 0, form.scale, form.depth > 0)


def _forms(handles: Sequence[Handle], modes: bytes) -> Sequence[int]:
    if NOT_TEXT not in modes:
        return ()
    types = bytes(starmap(type_of, zip(_those(NOT_TEXT, modes, handles), strict=True)))
    return _those(FORM, types, _those(NOT_TEXT, modes, range(len(modes))))


def _those(code: int, codes: bytes, things: Sequence[T]) -> Sequence[T]:
    """The things that have one code."""
    found = codes.count(code)
    if found in (0, len(codes)):
        return things[:found]
    return list(compress(things, codes.translate(_ONLY[code])))


def _grown(piece: Handle) -> float:
    """By how much the object's matrix grows what it holds."""
    ctypes.pointer(_one)[0] = _PLAIN
    _matrix(piece, byref(_one, _Look.matrix.offset))
    return _growth(*_one.matrix[:4])


def _growth(a: float, b: float, c: float, d: float) -> float:
    return float(abs(a * d - b * c) ** 0.5)


def drawings(handles: Sequence[Handle]) -> bytes:
    """How the pieces of text are drawn, for `ways` and `each`."""
    if len(handles) <= AT_ONCE:
        return _drawings(handles)
    return b"".join(_drawings(handles[start : start + AT_ONCE]) for start in range(0, len(handles), AT_ONCE))


def ways(drawn: bytes) -> set[tuple[bytes]]:
    """In how many ways that is: pages have thousands of pieces and a handful of ways. `style` says what one means."""
    return set(_EACH.iter_unpack(drawn))


def each(drawn: bytes) -> Iterator[tuple[bytes]]:
    """In which way each is drawn."""
    return _EACH.iter_unpack(drawn)


def _drawings(handles: Sequence[Handle]) -> bytes:
    ctypes.memmove(_looks, _plain, len(handles) * sizeof(_Look))
    red, green, blue, opacity, size, matrix = _places
    _over(_size, handles, size)
    _over(_matrix, handles, matrix)
    _over(_colour, handles, red, green, blue, opacity)
    return bytes(memoryview(_looks).cast("B")[: len(handles) * sizeof(_Look)])


def _over(function: Callable[..., object], *columns: Sequence[Any]) -> None:
    """`starmap` over `zip` uses one tuple for all calls, where `map` makes one for each."""
    deque(starmap(function, zip(*columns, strict=False)), maxlen=0)  # there are more places than handles


def style(way: tuple[bytes]) -> Style:
    """What one of the `ways` means."""
    red, green, blue, opacity, size, *matrix = _STYLE.unpack(*way)
    return Style((red, green, blue, opacity), abs(size) * _growth(*matrix))


def fill(piece: Handle) -> tuple[int, ...] | None:
    """Red, green, blue and opacity, or None where the object has a pattern or none of them."""
    return tuple(_one.shades) if _has_colour(piece, *(byref(_one, 4 * shade) for shade in range(4))) else None


def is_filled(piece: Handle) -> bool:
    """Whether a path is drawn as an area."""
    mode, stroke = c_int(), c_int()
    return bool(_draws(piece, byref(mode), byref(stroke)) and mode.value)


def bounds(piece: Handle) -> tuple[float, float, float, float]:
    """Left, bottom, right, top."""
    sides = (c_float * 4)()
    _sides(piece, *(byref(sides, 4 * side) for side in range(4)))
    left, bottom, right, top = sides
    return left, bottom, right, top


def words(piece: Handle, textpage: Handle) -> str:
    """The text of one piece. It looks through all letters of the page for it."""
    buffer = ctypes.create_string_buffer(_words(piece, textpage, None, c_ulong(0)))
    _words(piece, textpage, buffer, c_ulong(len(buffer)))
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0")
