"""Whatever the text, chunks hold all of it once, in order, and none is over the limit."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.documents.chunk import MARGIN_TOKENS, MIN_LIMIT_TOKENS, chunk
from viiwork.documents.document import Document, tidy
from viiwork.documents.tokens import load_counter

COUNT = load_counter("wordllama")
WORDS = st.sampled_from(
    [
        "the",
        "antidisestablishmentarianism",
        "你好世界",
        "🙂🙃",
        "a.b",
        "x" * 90,
        "—",
        "(1)",
        "\t",
        "\n",
        "\n\n",
        "   ",
        "…",
        "\u200b",
        "e\u0301",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=400), st.lists(WORDS, max_size=120).map(" ".join), st.lists(WORDS, max_size=200).map("".join)
)
PAGES = st.lists(TEXTS, min_size=1, max_size=5)
LIMITS = st.integers(MIN_LIMIT_TOKENS, 120)


@settings(max_examples=150, deadline=None)
@given(pages=PAGES, limit=LIMITS, tidied=st.booleans())
def test_chunks_cover_the_document_within_the_limit(pages, limit, tidied):
    document = Document(media_type="text/plain", pages=tuple(map(tidy, pages) if tidied else pages))
    chunks = chunk(document, limit_tokens=limit, count=COUNT)
    text = document.text

    assert all(part.text == text[part.start : part.end] and part.text for part in chunks)
    assert all(part.tokens == COUNT(part.text) <= limit - MARGIN_TOKENS for part in chunks)
    assert all(before.end <= after.start for before, after in pairwise(chunks))
    covered = [False] * len(text)
    for part in chunks:
        covered[part.start : part.end] = [True] * (part.end - part.start)
    assert not any(sign.strip() and not held for sign, held in zip(text, covered, strict=True))


@settings(max_examples=100, deadline=None)
@given(pages=PAGES, limit=LIMITS)
def test_every_character_of_a_chunk_is_on_the_page_that_its_page_starts_say(pages, limit):
    document = Document(media_type="text/plain", pages=tuple(tidy(page) for page in pages))
    for part in chunk(document, limit_tokens=limit, count=COUNT):
        assert part.page_starts[0] == (0, part.first_page)
        assert part.page_starts[-1][1] == part.last_page
        for offset, sign in enumerate(part.text):
            page = max(number for start, number in part.page_starts if start <= offset)
            within = part.start + offset - document.page_starts[page - 1]
            if sign.strip():
                assert document.pages[page - 1][within] == sign


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.characters(), max_size=300))
def test_tidying_twice_changes_nothing_and_leaves_what_utf8_can_carry(text):
    once = tidy(text)
    assert tidy(once) == once
    once.encode()
