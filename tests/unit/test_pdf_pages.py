"""Pages opened by calls of our own give the text that pypdfium2's objects give."""

from __future__ import annotations

import pypdfium2
import pytest

from tests.documents_made import make_drawn_pdf, make_pdf
from viiwork.documents import pdfpages
from viiwork.documents.pdfpages import ROOM, handle_of, opened, text_of


@pytest.mark.parametrize("characters", [0, 1, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM])
def test_a_page_of_any_length_is_read_whole(characters):
    lines = [
        f"BT /F 4 Tf 9 {at % 800} Td ({'x' * min(100, characters - at)}) Tj ET" for at in range(0, characters, 100)
    ]
    with pypdfium2.PdfDocument(make_drawn_pdf("\n".join(lines))) as pdf:
        plain = pdf[0].get_textpage().get_text_range()
        with opened(handle_of(pdf), 0) as found:
            assert found is not None
            assert text_of(found[1]) == plain
            assert plain.count("x") == characters


def test_a_page_that_is_not_there_is_told():
    with pypdfium2.PdfDocument(make_pdf(["One"])) as pdf, opened(handle_of(pdf), 1) as found:
        assert found is None


def test_where_nothing_is_taken_nothing_of_an_earlier_page_is_told(monkeypatch):
    with (
        pypdfium2.PdfDocument(make_pdf(["Somebody's secret.", "Another page."])) as pdf,
        opened(handle_of(pdf), 0) as one,
        opened(handle_of(pdf), 1) as other,
    ):
        assert one is not None
        assert other is not None
        assert "secret" in text_of(one[1])
        monkeypatch.setattr(pdfpages, "_text", lambda *_: 0)
        assert text_of(other[1]) == ""
