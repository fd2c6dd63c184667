"""Cutting documents: exact counts, honest spans, pages and headings."""

from __future__ import annotations

import pytest

from viiwork.documents.chunk import MARGIN_TOKENS, chunk, heading_path
from viiwork.documents.document import Document, Heading, inline_document
from viiwork.documents.tokens import load_counter
from viiwork.errors import DocumentError, SettingsError

COUNT = load_counter("wordllama")
SENTENCE = "The tenant shall give notice three months before the lease ends. "


def of_pages(*pages: str) -> Document:
    return Document(media_type="text/plain", pages=pages)


def test_what_fits_is_one_chunk_with_its_exact_count():
    (part,) = chunk(inline_document("\n\nOne short letter.\n"), limit_tokens=100, count=COUNT)
    assert (part.text, part.start, part.tokens) == ("One short letter.", 0, COUNT("One short letter."))


def test_a_document_without_text_has_no_chunks():
    assert chunk(of_pages("", " \n "), limit_tokens=100, count=COUNT) == ()


def test_long_text_fills_its_chunks():
    document = inline_document("\n\n".join([SENTENCE * 6] * 60))
    parts = chunk(document, limit_tokens=512, count=COUNT)
    fill = sum(part.tokens for part in parts[:-1]) / (len(parts) - 1) / 512
    assert fill > 0.85
    assert max(part.tokens for part in parts) <= 512 - MARGIN_TOKENS


def test_cuts_fall_between_paragraphs_rather_than_inside_sentences():
    document = inline_document("\n\n".join([SENTENCE * 2] * 200))
    assert all(part.text.endswith("ends.") for part in chunk(document, limit_tokens=256, count=COUNT))


def test_chunks_name_the_pages_that_they_have_text_of():
    document = of_pages("one", "", "three", SENTENCE * 100)
    parts = chunk(document, limit_tokens=128, count=COUNT)
    assert (parts[0].first_page, parts[0].last_page) in ((1, 3), (1, 4))
    assert parts[-1].page_starts == ((0, 4),)


@pytest.mark.parametrize(
    "text", ["x" * 20_000, "你" * 5_000, "🙂" * 3_000, "a\n" * 10_000, ". " * 10_000, "-" * 20_000]
)
def test_text_without_words_is_cut_all_the_same(text):
    parts = chunk(inline_document(text), limit_tokens=64, count=COUNT)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(text.split())
    assert max(part.tokens for part in parts) <= 60


def test_thousands_of_kinds_of_blanks_do_not_drive_the_splitter_out_of_its_stack():
    text = "".join("a" + " " * width + "b\u2003\t \u00a0" * (width % 7) for width in range(3_000))
    assert chunk(inline_document(text), limit_tokens=64, count=COUNT)


def test_a_limit_that_leaves_no_room_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        chunk(inline_document("text"), limit_tokens=15, count=COUNT)


def test_the_heading_path_leads_from_the_highest_to_the_nearest():
    headings = tuple(
        Heading(level=level, text=text, start=start)
        for level, text, start in [
            (1, "Lease", 0),
            (2, "Rent", 10),
            (3, "Late", 20),
            (2, "Notice", 30),
            (1, "Annex", 40),
        ]
    )
    paths = [heading_path(headings, position) for position in (0, 15, 25, 30, 45)]
    assert paths == ["Lease", "Lease > Rent", "Lease > Rent > Late", "Lease > Notice", "Annex"]
    assert heading_path(headings[1:], 5) == ""


def test_an_inline_text_of_blanks_is_empty():
    with pytest.raises(DocumentError) as caught:
        inline_document(" \n\t\x00")
    assert caught.value.code == "empty"


def test_a_tokenizer_counts_without_special_tokens_and_without_truncating():
    assert COUNT("") == 0
    assert COUNT("word " * 100_000) >= 100_000


@pytest.mark.parametrize(("content", "said"), [(None, "there is no tokenizer file"), ("{}", "is not a tokenizer file")])
def test_a_wrong_tokenizer_is_named(tmp_path, content, said):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=said):
        load_counter(str(path))
