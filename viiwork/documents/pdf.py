"""PDF, through PDFium. It may abort its whole process on a hostile file, so it runs in a reading process only."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.document import Document, named, tidy, title_of
from viiwork.documents.outcomes import Unread

MAX_FIELDS = 10_000

# PDFium writes U+FFFE where a word was broken at the end of a line.
_BROKEN_WORD = re.compile("\ufffe(?=[a-z\u00df-\u00ff])")
_BROKEN_COMPOUND = re.compile("\ufffe(?=\\w)")


def read_pdf(data: bytes) -> Document:
    """The text of each page; pages without any are kept, empty, and named in the notes."""
    pdf = _open(data)
    pages = tuple(_page_text(pdf, index) for index in range(len(pdf)))
    if all(page is None for page in pages):
        raise Unread("damaged")
    if not any(pages):
        raise Unread("no_text_layer")
    return Document(
        media_type="application/pdf",
        pages=tuple(page or "" for page in pages),
        title=_title(pdf),
        notes=_notes(pages),
    )


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        raise Unread("encrypted" if locked else "damaged") from error
    if len(pdf) == 0:
        raise Unread("damaged", ": it has no pages")
    return pdf


def _page_text(pdf: pypdfium2.PdfDocument, index: int) -> str | None:
    """The page's text, or None when the page cannot be opened."""
    try:
        page = pdf[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return None
    text = _BROKEN_COMPOUND.sub("-", _BROKEN_WORD.sub("", textpage.get_text_range()))
    fields = "\n".join(_filled_fields(page))
    textpage.close()
    page.close()
    return tidy(f"{text}\n\n{fields}")


def _filled_fields(page: pypdfium2.PdfPage) -> Iterator[str]:
    """What is filled in to the form fields of the page, which is no part of its text: `name: value`."""
    for index in range(min(pdfium.FPDFPage_GetAnnotCount(page), MAX_FIELDS)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        if pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_WIDGET:
            name, value = (_field_value(annotation, key) for key in (b"T", b"V"))
            if value and value != "Off":
                yield f"{name}: {value}" if name else value
        pdfium.FPDFPage_CloseAnnot(annotation)


def _field_value(annotation: pdfium.FPDF_ANNOTATION, key: bytes) -> str:
    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFAnnot_GetStringValue(annotation, key, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw.decode("utf-16-le", errors="replace").rstrip("\0").strip()


def _title(pdf: pypdfium2.PdfDocument) -> str:
    title = title_of(pdf.get_metadata_value("Title"))
    # Word processors leave their own file name there, which is not what a person calls the document.
    return "" if re.search(r"\.(docx?|odt|rtf|tex|indd|pages|dvi)$", title, re.IGNORECASE) else title


def _notes(pages: tuple[str | None, ...]) -> tuple[str, ...]:
    bare = [number for number, page in enumerate(pages, 1) if page == ""]
    lost = [number for number, page in enumerate(pages, 1) if page is None]
    notes = []
    if bare:
        notes.append(f"{named('Page', bare)} no text layer (no OCR).")
    if lost:
        notes.append(f"{named('Page', lost)} damage and could not be read.")
    return tuple(notes)
