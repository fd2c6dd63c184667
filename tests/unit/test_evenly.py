"""Into how many parts a long document is cut, so that several cards end together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.documents.chunk import MARGIN_TOKENS, chunk
from viiwork.documents.document import Document
from viiwork.documents.evenly import EVEN_FROM, MORE, parts_for, shared_out
from viiwork.documents.tokens import load_counter

ROOM = 1000


def needing(parts: int) -> int:
    """Tokens that fill so many parts as pieces pack them."""
    return 940 * parts - 1


def test_a_document_of_few_parts_is_cut_into_as_few_as_possible() -> None:
    """One more would cost it a good deal."""
    assert [parts_for(needing(few), ROOM) for few in range(1, EVEN_FROM)] == [0] * (EVEN_FROM - 1)


def test_a_long_one_is_cut_into_as_many_as_fleets_divide_well() -> None:
    assert [parts_for(needing(least), ROOM) for least in (17, 31, 33, 34, 36, 100)] == [18, 32, 36, 36, 40, 100]


@given(least=st.integers(EVEN_FROM, 5000))
def test_it_is_never_many_more(least: int) -> None:
    assert least <= parts_for(needing(least), ROOM) <= least * (1 + MORE)


@given(tokens=st.lists(st.integers(1, 130), min_size=1, max_size=400), parts=st.integers(1, 60))
def test_every_piece_is_in_one_part_and_no_part_is_over_the_room(tokens: list[int], parts: int) -> None:
    """Or it says that they do not fit."""
    spans = shared_out(tokens, parts, ROOM)
    if not spans:
        return
    assert len(spans) == parts
    assert (spans[0][0], spans[-1][1]) == (0, len(tokens) - 1)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(spans))
    assert all(sum(tokens[first : last + 1]) <= ROOM for first, last in spans)


def test_what_does_not_fit_is_not_forced() -> None:
    """Then a document is cut as any other is."""
    assert shared_out([600] * 10, 9, ROOM) == []
    assert shared_out([600] * 3, 4, ROOM) == []


@pytest.mark.parametrize("words", ["Notice is given in writing. ", "Kündigung—schriftlich! "])
def test_the_parts_of_a_long_document_are_about_as_long_as_each_other(words: str) -> None:
    """The last one too, and none is over the limit."""
    count = load_counter("wordllama")
    document = Document(media_type="text/plain", pages=tuple(words * 60 for _ in range(40)))
    parts = [part.tokens for part in chunk(document, limit_tokens=512, count=count)]
    assert len(parts) >= EVEN_FROM
    assert max(parts) <= 512 - MARGIN_TOKENS
    assert min(parts) > 0.75 * max(parts)
