"""What is filled in to the form fields of a PDF's page, which is no part of its text."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_int, c_ulong, c_void_p

import pypdfium2.raw as pdfium

from viiwork.documents.pdfpieces import Handle, call, handle

MAX_FIELDS = 10_000

_on_page = call(pdfium.FPDFPage_GetAnnotCount, c_int)
_of_page = call(pdfium.FPDFPage_GetAnnot, c_void_p)
_subtype = call(pdfium.FPDFAnnot_GetSubtype, c_int)
_value = call(pdfium.FPDFAnnot_GetStringValue, c_ulong)
_close = call(pdfium.FPDFPage_CloseAnnot, None)


def filled_fields(page: Handle, *, is_form: bool) -> Iterator[str]:
    """`name: value` of each, on a page of a document that says that it is a form, or does not.

    Most annotations are links, and to go through all of them took a quarter of the time of reading a manual. A document
    that does not say that it is a form may still have the fields of forms that it was put together from: pages whose
    first or last annotation is one are looked through.
    """
    count = min(_on_page(page), MAX_FIELDS)
    if is_form or any(_is_field(page, index) for index in {0, count - 1} if count):
        for index in range(count):
            yield from _field(page, index)


def _is_field(page: Handle, index: int) -> bool:
    annotation = handle(_of_page(page, index))
    if not annotation:
        return False
    subtype = _subtype(annotation)
    _close(annotation)
    return bool(subtype == pdfium.FPDF_ANNOT_WIDGET)


def _field(page: Handle, index: int) -> Iterator[str]:
    annotation = handle(_of_page(page, index))
    if not annotation:
        return
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
