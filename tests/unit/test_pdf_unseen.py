"""Hidden text is found wherever on a page it stands, among however many pieces."""

from __future__ import annotations

from collections.abc import Sequence

import pypdfium2
import pytest

from tests.documents_made import make_drawn_pdf
from viiwork.documents.pdffields import filled_fields
from viiwork.documents.pdfpages import handle_of
from viiwork.documents.pdfunseen import look
from viiwork.documents.unseen import INVISIBLE, TINY, WHITE

PLAIN = "BT /F 12 Tf 0 0 1 rg 20 700 Td (plain) Tj ET\n"
SECRET = "BT /F 12 Tf 3 Tr 20 20 Td (secret) Tj 0 Tr ET\n"
PALE = "BT /F 12 Tf 1 1 1 rg 20 40 Td (secret) Tj ET\n"


def kinds(content: str, forms: Sequence[str] = ()) -> tuple[str, ...]:
    with pypdfium2.PdfDocument(make_drawn_pdf(content, forms)) as pdf:
        page = pdf[0]
        textpage = page.get_textpage()
        found = look(handle_of(page), handle_of(textpage)).kinds
        textpage.close()
        page.close()
    return found


@pytest.mark.parametrize("before", [0, 1023, 1024, 3000])
def test_one_hidden_piece_among_thousands_is_found(before):
    seen = "".join(f"BT /F 4 Tf {at % 60 * 11} {60 + at // 60 * 6} Td (plain) Tj ET\n" for at in range(before))
    assert kinds(seen + SECRET + PLAIN) == (INVISIBLE,)
    assert kinds(seen + PLAIN) == ()


def test_text_in_a_form_is_as_small_as_all_forms_around_it_make_it():
    shrunk = "q 0.5 0 0 0.5 0 0 cm /X1 Do Q\n"
    small = "q 0.2 0 0 0.2 0 0 cm BT /F 12 Tf 20 20 Td (secret) Tj ET Q\n"
    assert kinds(small) == ()
    assert kinds("q 0.5 0 0 0.5 0 0 cm /X0 Do Q\n" + PLAIN, [small]) == (TINY,)
    assert kinds("q 0.9 0 0 0.9 0 0 cm /X0 Do Q\n", [shrunk, small]) == (TINY,)


def test_turned_text_is_not_small():
    assert kinds("BT /F 1 Tf 0 12 -12 0 300 300 Tm (turned) Tj ET\n") == ()
    assert kinds("BT /F 1 Tf 0 1 -1 0 300 300 Tm (turned) Tj ET\n") == (TINY,)


def test_white_text_is_hidden_unless_something_dark_lies_under_it():
    dark, bright = "0 0 0.4 rg 0 0 200 60 re f\n", "1 1 1 rg 0 0 200 60 re f\n"
    assert kinds(PLAIN + PALE) == (WHITE,)
    assert kinds(bright + PALE) == (WHITE,)
    assert kinds(dark + PALE) == ()
    assert kinds(PALE + dark) == (WHITE,)
    assert kinds("/X0 Do\n" + PALE, [dark]) == ()


def test_each_kind_is_told_once():
    assert kinds(SECRET * 40 + PALE * 40) == (INVISIBLE, WHITE)
    assert kinds("BT /F 12 Tf 3 Tr 20 20 Td (a) Tj ( ) Tj (b) Tj ET\n") == ()


@pytest.mark.parametrize("is_form", [False, True])
def test_a_page_without_annotations_has_no_fields(is_form):
    with pypdfium2.PdfDocument(make_drawn_pdf(PLAIN)) as pdf:
        page = pdf[0]
        assert list(filled_fields(handle_of(page), is_form=is_form)) == []
