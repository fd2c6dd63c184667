"""PDF, through PDFium. It may abort its whole process on a hostile file, so it runs in a reading process only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from viiwork.documents.document import Document, named, tidy, title_of
from viiwork.documents.legible import Legibility, legibility
from viiwork.documents.origin import author_of, day_of
from viiwork.documents.outcomes import Unread
from viiwork.documents.pdffields import filled_fields
from viiwork.documents.pdfpages import handle_of, opened, text_of
from viiwork.documents.pdfpieces import Handle
from viiwork.documents.pdfunseen import SEEN, Unseen, look
from viiwork.documents.unseen import notes_by_page

# PDFium writes U+FFFE where a word was broken at the end of a line.
_BROKEN_WORD = re.compile("\ufffe(?=[a-z\u00df-\u00ff])")
_BROKEN_COMPOUND = re.compile("\ufffe(?=\\w)")


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `text` is None when it cannot be opened."""

    text: str | None
    legibility: Legibility = Legibility.GOOD
    unseen: Unseen = SEEN


def read_pdf(data: bytes) -> Document:
    """The text of each page; pages without any that can be read are kept, empty, and named in the notes."""
    pdf = _open(data)
    is_form = pdf.get_formtype() != pdfium.FORMTYPE_NONE
    whole = handle_of(pdf)
    pages = tuple(_page(whole, index, is_form=is_form) for index in range(len(pdf)))
    if all(page.text is None for page in pages):
        raise Unread("damaged")
    if not any(page.text for page in pages):
        raise Unread("garbled" if any(page.legibility is Legibility.NONE for page in pages) else "no_text_layer")
    return Document(
        media_type="application/pdf",
        pages=tuple(page.text or "" for page in pages),
        title=_title(pdf),
        notes=_notes(pages),
        author=author_of(pdf.get_metadata_value("Author")),
        created=day_of(pdf.get_metadata_value("CreationDate")),
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


def _page(pdf: Handle, index: int, *, is_form: bool) -> Page:
    with opened(pdf, index) as found:
        if found is None:
            return Page(None)
        page, layer = found
        raw = text_of(layer)
        text = _BROKEN_COMPOUND.sub("-", _BROKEN_WORD.sub("", raw)) if "\ufffe" in raw else raw
        read = legibility(text)
        if read is Legibility.NONE:
            text = ""
        fields = "\n".join(filled_fields(page, is_form=is_form))
        unseen = look(page, layer) if text else SEEN
    return Page(tidy(f"{text}\n\n{fields}"), read, unseen)


def _title(pdf: pypdfium2.PdfDocument) -> str:
    title = title_of(pdf.get_metadata_value("Title"))
    # Word processors leave their own file name there, which is not what a person calls the document.
    return "" if re.search(r"\.(docx?|odt|rtf|tex|indd|pages|dvi)$", title, re.IGNORECASE) else title


def _notes(pages: Sequence[Page]) -> tuple[str, ...]:
    told = {
        "no text layer (no OCR).": [page.text == "" and page.legibility is Legibility.GOOD for page in pages],
        "damage and could not be read.": [page.text is None for page in pages],
        "a text layer whose letters have no meaning; it was left out (no OCR).": [
            page.legibility is Legibility.NONE for page in pages
        ],
        "text that can hardly be read: its letters may be the wrong ones.": [
            page.legibility is Legibility.DOUBTFUL for page in pages
        ],
        "text that lies invisibly over a picture, as text recognition leaves it.": [page.unseen.scan for page in pages],
    }
    where = ((what, [number for number, holds in enumerate(which, 1) if holds]) for what, which in told.items())
    unseen = notes_by_page([page.unseen.kinds for page in pages])
    return (*(f"{named('Page', numbers)} {what}" for what, numbers in where if numbers), *unseen)
