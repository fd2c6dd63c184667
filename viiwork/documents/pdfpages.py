"""A PDF's pages, opened by calls of our own: pypdfium2 makes an object with a finalizer of each, 20 us a page."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int, c_void_p

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.pdfpieces import Handle, call, handle

ROOM = 16_384
"""Characters of a page that are taken into memory which all pages share."""
UNIT_BYTES = 2

_load = call(pdfium.FPDF_LoadPage, c_void_p)
_close = call(pdfium.FPDF_ClosePage, None)
_load_text = call(pdfium.FPDFText_LoadPage, c_void_p)
_close_text = call(pdfium.FPDFText_ClosePage, None)
_count = call(pdfium.FPDFText_CountChars, c_int)
_place = call(pdfium.FPDFText_GetTextIndexFromCharIndex, c_int)
_text = call(pdfium.FPDFText_GetText, c_int)
_room = ctypes.create_string_buffer(UNIT_BYTES * ROOM)


def handle_of(owner: pypdfium2.PdfDocument | pypdfium2.PdfPage | pypdfium2.PdfTextPage) -> Handle:
    """Good for as long as it is open."""
    return handle(ctypes.cast(owner.raw, c_void_p).value)


@contextmanager
def opened(pdf: Handle, index: int) -> Iterator[tuple[Handle, Handle] | None]:
    """A page and its text layer; nothing where one of them cannot be had."""
    page = handle(_load(pdf, index))
    layer = page and handle(_load_text(page))
    try:
        yield (page, layer) if layer else None
    finally:
        if layer:
            _close_text(layer)
        if page:
            _close(page)


def text_of(layer: Handle) -> str:
    """All text of the layer: what pypdfium2's `get_text_range` gives.

    PDFium must not be asked from or to a character that is in no text (its bug 2079): such ones at both ends are left
    out.
    """
    first, last = 0, _count(layer) - 1
    while first <= last and _place(layer, first) < 0:
        first += 1
    while first <= last and _place(layer, last) < 0:
        last -= 1
    if first > last:
        return ""
    count = last - first + 1
    room = _room if count < ROOM else ctypes.create_string_buffer(UNIT_BYTES * (count + 1))
    taken = _text(layer, first, count, room)
    # The room still has earlier pages, maybe of another document: nothing taken must stay nothing.
    return str(memoryview(room)[: UNIT_BYTES * max(0, taken - 1)], "utf-16-le", "ignore")
