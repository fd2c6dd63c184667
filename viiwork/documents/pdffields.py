"""What is filled in to the form fields of a PDF's page, which is no part of its text."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_int, c_ulong, c_void_p

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.pdfpieces import Handle, call

MAX_FIELDS = 10_000

_on_page = call(pdfium.FPDFPage_GetAnnotCount, c_int)
_of_page = call(pdfium.FPDFPage_GetAnnot, Handle)
_subtype = call(pdfium.FPDFAnnot_GetSubtype, c_int)
_value = call(pdfium.FPDFAnnot_GetStringValue, c_ulong)
_close = call(pdfium.FPDFPage_CloseAnnot, None)


def filled_fields(page: pypdfium2.PdfPage) -> Iterator[str]:
    """`name: value` of each; most annotations are links, of which a page may have hundreds."""
    whole = Handle(ctypes.cast(page.raw, c_void_p).value)
    for index in range(min(_on_page(whole), MAX_FIELDS)):
        annotation = _of_page(whole, index)
        if not annotation:
            continue
        if _subtype(annotation) == pdfium.FPDF_ANNOT_WIDGET:
            name, value = (_text(annotation, key) for key in (b"T", b"V"))
            if value and value != "Off":
                yield f"{name}: {value}" if name else value
        _close(annotation)


def _text(annotation: Handle, key: bytes) -> str:
    size = _value(annotation, key, None, c_ulong(0))
    buffer = ctypes.create_string_buffer(size)
    _value(annotation, key, buffer, c_ulong(size))
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0").strip()
