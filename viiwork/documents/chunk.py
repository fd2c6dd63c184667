"""Cutting a document into parts that fit one engine call, by exact token counts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from semchunk.semchunk import chunk as split

from viiwork.documents.document import Document, Heading
from viiwork.documents.evenly import parts_for, shared_out
from viiwork.documents.tokens import TokenCounter

MARGIN_TOKENS = 4
"""Tokens that the joint of prompt and passage may add."""
MIN_LIMIT_TOKENS = 16
PIECE_CHARACTERS_PER_TOKEN = 0.5
"""Pieces of about an eighth of a chunk pack it to 0.95; of a fifth to 0.91; whole ones to 0.74."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document: `text` is `document.text[start:end]`, and has `tokens` tokens on its own."""

    text: str
    start: int
    end: int
    tokens: int
    first_page: int
    last_page: int
    heading: str
    """The headings above its start, from the highest, joined by ` > `."""
    page_starts: tuple[tuple[int, int], ...]
    """(character of `text`, page) for each page that it has text of."""


def chunk(document: Document, *, limit_tokens: int, count: TokenCounter) -> tuple[Chunk, ...]:
    """The parts of the document, in order: together they hold every character that is not blank exactly once.

    Each has at most `limit_tokens - MARGIN_TOKENS` tokens. Pure, but costly: 1,000 pages take about a second of CPU,
    so run it in a thread.
    """
    if limit_tokens < MIN_LIMIT_TOKENS:
        raise ValueError(f"limit_tokens must be at least {MIN_LIMIT_TOKENS}, not {limit_tokens}")
    text = document.text
    room = limit_tokens - MARGIN_TOKENS
    pieces = tuple(_pieces(text, room, count))
    spans = _evenly(text, pieces, room, count) or _packed(text, pieces, room, count)
    return tuple(_chunk(document, start, end, tokens) for start, end, tokens in spans)


def _pieces(text: str, room: int, count: TokenCounter) -> Iterator[tuple[int, int, int]]:
    """Small spans at the best places to cut, with their tokens; none is over `room`.

    The splitter calls its counter some 5 times on each character. Counting characters there and tokens only once a
    piece, here, takes a sixth of the time. `memoize=False`: its cache is global and would keep every text for ever.
    """
    size = max(1, int(room * PIECE_CHARACTERS_PER_TOKEN))
    for start, end in _spans(text, size, len):
        tokens = count(text[start:end])
        if tokens <= room:
            yield start, end, tokens
            continue
        for first, last in _spans(text[start:end], room, count):
            yield start + first, start + last, count(text[start + first : start + last])


def _spans(text: str, size: int, count: TokenCounter) -> Iterator[tuple[int, int]]:
    """The splitter's spans, each without the blanks at its ends, which it leaves on some."""
    found = split(text, size, count, memoize=False, offsets=True)
    for start, end in cast(tuple[list[str], list[tuple[int, int]]], found)[1]:  # what `offsets=True` returns
        span = text[start:end]
        if words := span.strip():
            first = start + span.index(words[0])
            yield first, first + len(words)


def _evenly(
    text: str, pieces: Sequence[tuple[int, int, int]], room: int, count: TokenCounter
) -> list[tuple[int, int, int]]:
    """The spans of a long document's parts, of about the same size each; empty where as few as possible are better."""
    tokens = [of_piece for _, _, of_piece in pieces]
    if not (parts := parts_for(sum(tokens), room)):
        return []
    ends = [(pieces[first][0], pieces[last][1]) for first, last in shared_out(tokens, parts, room)]
    spans = [(start, end, count(text[start:end])) for start, end in ends]
    return spans if all(of_span <= room for _, _, of_span in spans) else []


def _packed(
    text: str, pieces: Sequence[tuple[int, int, int]], room: int, count: TokenCounter
) -> Iterator[tuple[int, int, int]]:
    """Neighbouring pieces put together for as long as they fit: start, end and exact tokens of each chunk."""
    first = 0
    while first < len(pieces):
        last, tokens = _fullest(text, pieces, first, room, count)
        yield pieces[first][0], pieces[last][1], tokens
        first = last + 1


def _fullest(
    text: str, pieces: Sequence[tuple[int, int, int]], first: int, room: int, count: TokenCounter
) -> tuple[int, int]:
    """The last piece that still fits with all from `first`, and the tokens of them together.

    The sum of the pieces' own counts guesses where the end is; exact counts then move it back or on.
    """
    last, guess = first, pieces[first][2]
    while last + 1 < len(pieces) and guess + pieces[last + 1][2] <= room:
        last += 1
        guess += pieces[last][2]
    start = pieces[first][0]
    tokens = pieces[first][2] if last == first else count(text[start : pieces[last][1]])
    while tokens > room:
        last -= 1
        tokens = pieces[first][2] if last == first else count(text[start : pieces[last][1]])
    while last + 1 < len(pieces) and tokens + pieces[last + 1][2] <= room + MARGIN_TOKENS:
        more = count(text[start : pieces[last + 1][1]])
        if more > room:
            break
        last, tokens = last + 1, more
    return last, tokens


def _chunk(document: Document, start: int, end: int, tokens: int) -> Chunk:
    starts = document.page_starts
    first, last = bisect_right(starts, start), bisect_right(starts, end - 1)
    return Chunk(
        text=document.text[start:end],
        start=start,
        end=end,
        tokens=tokens,
        first_page=first,
        last_page=last,
        heading=heading_path(document.headings, start),
        page_starts=tuple((max(0, starts[page - 1] - start), page) for page in range(first, last + 1)),
    )


def heading_path(headings: Sequence[Heading], position: int) -> str:
    """The headings that the character at `position` stands under; one that starts right there counts."""
    path: list[Heading] = []
    before = bisect_left(headings, position + 1, key=lambda heading: heading.start)
    for heading in reversed(headings[:before]):
        if not path or heading.level < path[-1].level:
            path.append(heading)
        if path[-1].level == 1:
            break
    return " > ".join(heading.text for heading in reversed(path))
