"""Whether quotes are found although they were copied with mistakes, and made-up ones are not."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Sequence

from bench.quality.desk import SEED, Desk
from bench.quality.samplework import good_samples
from bench.report import Figure, Goal, Report
from viiwork.documents.chunk import Chunk, chunk
from viiwork.documents.provenance import ground
from viiwork.documents.tokens import WORDLLAMA, load_counter
from viiwork.work import Answer, Evidence

GOALS = (Goal("aligned", at_least=0.99), Goal("invented_accepted", at_most=0))
QUOTES, INVENTED = 400, 50
NOISE = 0.05
"""Of a quote's letters: changed, lost or doubled. Figures stay: one that is wrong rightly marks its quote."""
PART_TOKENS = 1024
FEWEST, MOST = 5, 35
"""Words of a quote."""
WORD = re.compile(r"\S+")
NEAR = 0.8
"""Of the characters that either span has, those that both have."""


async def measure(desk: Desk) -> Report:
    """In the samples of this project, by `ground`, which every answer passes."""
    count = load_counter(WORDLLAMA)
    parts = [part for document in good_samples() for part in chunk(document, limit_tokens=PART_TOKENS, count=count)]
    return Report("quotes", figures(desk, parts), GOALS)


def figures(desk: Desk, parts: Sequence[Chunk], *, quotes: int = QUOTES) -> dict[str, Figure]:
    """Shares of noisy quotes that are found where they were taken from, and how many of the made-up ones pass."""
    chance = random.Random(SEED)
    taken = [_drawn(parts, chance) for _ in range(quotes)]
    found = [_aligned(part, start, end, chance) for part, start, end in desk.watched(taken, "quotes")]
    false = sum(_accepted(part, _invented(part, chance)) for part in chance.choices(parts, k=INVENTED))
    return {"aligned": sum(found) / len(found), "invented_accepted": false, "quotes": quotes, "invented": INVENTED}


def _drawn(parts: Sequence[Chunk], chance: random.Random) -> tuple[Chunk, int, int]:
    """A run of words somewhere in a part."""
    while True:
        part = chance.choice(parts)
        words = list(WORD.finditer(part.text))
        length = chance.randint(FEWEST, MOST)
        if len(words) > length:
            first = chance.randrange(len(words) - length)
            return part, words[first].start(), words[first + length - 1].end()


def _aligned(part: Chunk, start: int, end: int, chance: random.Random) -> bool:
    quote = part.text[start:end]
    piece = _grounded(part, noisy(quote, chance))
    if piece.unsupported or piece.start is None or piece.end is None:
        return False
    at, to = piece.start - part.start, piece.end - part.start
    shared, either = min(to, end) - max(at, start), max(to, end) - min(at, start)
    return shared >= NEAR * either or part.text[at:to].split() == quote.split()  # some lines stand there twice


def noisy(text: str, chance: random.Random) -> str:
    """The text as a careless copyist writes it."""
    return "".join(_slips(text, chance))


def _slips(text: str, chance: random.Random) -> Iterator[str]:
    for letter in text:
        if not letter.isalpha() or chance.random() >= NOISE:
            yield letter
        else:
            yield chance.choice(("", letter * 2, chance.choice(string.ascii_lowercase)))


def _invented(part: Chunk, chance: random.Random) -> str:
    """The part's own words, in no order: what a model makes up sounds like the document."""
    return " ".join(chance.choices(part.text.split(), k=chance.randint(FEWEST + 3, MOST)))


def _accepted(part: Chunk, quote: str) -> bool:
    return not _grounded(part, quote).unsupported


def _grounded(part: Chunk, quote: str) -> Evidence:
    answer = Answer(text="", evidence=(Evidence(quote=quote),))
    return ground(answer, part.text, part.page_starts, start=part.start).evidence[0]
