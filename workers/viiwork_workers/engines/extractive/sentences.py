"""Cut a passage to sentences that keep their place, and tell prose from headings, table rows and boilerplate."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a piece of text is, by its shape."""

    PROSE = "prose"
    BULLET = "bullet"
    HEADING = "heading"
    ROW = "row"
    """Of a table, or a `Name: value` line."""
    BOILERPLATE = "boilerplate"
    """Page numbers, mail headers, greetings, confidentiality lines."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of a passage; `text[start:end]` of the passage is its verbatim quote."""

    text: str
    """As people read it: one line, markup taken off."""
    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together, before they are cut to sentences."""

    start: int
    end: int
    kind: Kind


LINE = re.compile(r"[^\n]*")
BULLET = re.compile(r"\s*(?:[-*+•‣▪◦–—]|\(?[a-z]\)|\([A-Z]\)|\(?[ivx]{1,4}\)|\(?\d{1,2}[.)])\s+(?=\S)")
NUMBERING = re.compile(
    r"\s*(?:>\s*)*(?:[-*+•‣▪◦–—#]+\s+|\(?[a-z]\)\s+|\([A-Z]\)\s+|\(?[ivx]{1,4}\)\s+|\(?\d{1,2}(?:\.\d{1,2})*[.)]?\s+(?=\S))"
)
MARKUP = re.compile(r"\*\*|__|`+|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)|!?\[(?=[^\]]*\]\()|(?<=\S)\]\([^)\s]*\)")
FIELD = re.compile(r"\s*(?:\*\*)?[A-Z][\w /&'().-]{0,30}:(?:\*\*)?(?:\s+\S.{0,80})?\s*$")
MAIL_HEADER = re.compile(
    r"\s*>*\s*(?:from|to|cc|bcc|sent|reply-to|message-id|return-path|received|mime-version|content-type|x-[\w-]+)\s*:",
    re.I,
)
PAGE_NUMBER = re.compile(
    r"\s*(?:[-–—]?\s*(?:page\s+)?\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?\s*[-–—]?|[ivxlc]{1,6})\s*$", re.I
)
COURTESY = re.compile(
    r"\s*>*\s*(?:dear\b|hi\b|hello\b|good (?:morning|afternoon|evening)\b|yours\b|sincerely\b|"
    r"(?:kind|best|warm) regards\b|regards\b|best wishes\b|cheers\b|thanks(?: again| in advance)?[,.!]?\s*$|"
    r"thank you[,.!]?\s*$|to whom it may concern)",
    re.I,
)
FURNITURE = re.compile(
    r"all rights reserved|©|^\s*copyright\b|(?:strictly )?(?:private and )?confidential\b.{0,40}$|unsubscribe|"
    r"intended recipient|this e-?mail and any attachments|^\s*on .{6,80} wrote:\s*$|^\s*sent from my\b|"
    r"^\s*-{2,}\s*(?:original|forwarded) message|^\s*(?:https?://|www\.)\S+\s*$|"
    r"^\s*(?:tel|fax|phone|e-?mail|mobile|vat(?: no)?|iban)\s*[.:]|^\s*in witness whereof",
    re.I,
)
RULE = re.compile(r"[\s\-=_*~+|:.#]*$")
CELLS = re.compile(r"\S(?:\t|\s{3,}|\s*\|\s*)(?=\S)")
ENDING = re.compile(r"[.!?…:;][\"'”’)\]*_]*\s*$")

BOUNDARY = re.compile(r"[.!?…][\"'”’)\]*_]*(\s+)(?=[\"'“‘(\[*_]*[A-Z0-9À-ÖØ-Þ•])")
LAST_WORD = re.compile(r"(\S+)$")
_TITLES_AND_REFERENCES = (
    "mr mrs ms dr prof st rev hon gen col capt lt sgt messrs no nos art arts sec secs fig figs eq eqs p pp vol ch cl "
    "para paras approx ca cf e.g i.e eg ie viz vs v ref ed eds al dept tel ext est min max avg incl excl resp"
)
_COMPANIES_AND_DATES = (
    "inc ltd co corp llc plc gmbh bros jr sr etc u.s u.k u.s.a e.u a.m p.m ph.d m.sc b.sc jan feb mar apr jun jul aug "
    "sep sept oct nov dec mon tue wed thu fri sat sun ave blvd rd"
)
NEVER_ENDS = frozenset(_TITLES_AND_REFERENCES.split())
SELDOM_ENDS = frozenset(_COMPANIES_AND_DATES.split())
STARTERS = re.compile(
    r"[\"'“‘(\[]*(?:The|This|That|These|Those|It|He|She|We|They|You|I|In|On|At|If|For|A|An|All|Each|Any|Both|However|There|When|"
    r"While|After|Before|As|But|And|Our|Your|Their|Its|No|Please|To|By|Under|With|Neither|Either|Since|Such)\b"
)


def sentences(passage: str) -> list[Sentence]:
    """Every sentence, heading and row of the passage, in order."""
    return [piece for block in blocks(passage) for piece in _pieces(passage, block)]


def blocks(passage: str) -> Iterator[Block]:
    """Join lines that were wrapped; a blank line, a bullet, a heading or a row starts anew."""
    held: Block | None = None
    for start, end, kind in _lines(passage):
        if held is not None and kind in (Kind.PROSE, Kind.HEADING) and _goes_on(passage, held, start, end, kind):
            held = Block(held.start, end, held.kind)
            continue
        if held is not None:
            yield held
        held = Block(start, end, kind) if kind is not None else None
    if held is not None:
        yield held


def _lines(passage: str) -> Iterator[tuple[int, int, Kind | None]]:
    """Start, end and kind of each line; the kind is None for a blank line or a ruled one."""
    offset = 0
    for line in passage.split("\n"):
        yield offset, offset + len(line), line_kind(line)
        offset += len(line) + 1


def line_kind(line: str) -> Kind | None:  # noqa: PLR0911 - a table of shapes, the most telling first
    """What one line is by its shape alone; None when there is nothing on it."""
    if RULE.match(line):
        return None
    if MAIL_HEADER.match(line) or PAGE_NUMBER.match(line) or COURTESY.match(line) or FURNITURE.search(line):
        return Kind.BOILERPLATE
    if len(CELLS.findall(line)) >= (1 if "|" in line or "\t" in line else 2):
        return Kind.ROW
    if line.lstrip().startswith("#"):
        return Kind.HEADING
    words = line.split()
    if BULLET.match(line) and (len(words) > 7 or ENDING.search(line) or not line.strip()[0].isdigit()):
        return Kind.BULLET
    if FIELD.match(line) and len(words) <= 14:
        return Kind.ROW
    return Kind.HEADING if _is_heading(line, words) else Kind.PROSE


def _is_heading(line: str, words: list[str]) -> bool:
    """Short, with nothing that ends a sentence, and capitals where a title has them."""
    if len(words) > 12 or ENDING.search(line) or line.rstrip().endswith(","):
        return False
    bare = NUMBERING.sub("", line, count=1).strip()
    if bare != line.strip() and bare[:1].isupper() and len(words) <= 8:
        return True
    capitals = [word for word in bare.split() if word[0].isupper() or word[0].isdigit()]
    return bare.isupper() or (bool(capitals) and bare[0].isupper() and len(capitals) >= len(bare.split()) / 2)


def _goes_on(passage: str, held: Block, start: int, end: int, kind: Kind) -> bool:
    """Whether the line at `start` continues the block before it: also one that only looks like a heading."""
    if start != held.end + 1 or held.kind not in (Kind.PROSE, Kind.BULLET):
        return False
    last = passage.rfind("\n", held.start, held.end) + 1 or held.start
    if kind is Kind.HEADING:
        return held.end - last >= 60 and not ENDING.search(passage[last : held.end])
    if NUMBERING.match(passage, start, end):
        return held.end - last >= 40 and not ENDING.search(passage[last : held.end])
    wrapped = held.end - last >= 40 or not passage[start:end].lstrip()[:1].isupper()
    return wrapped or bool(ENDING.search(passage[last : held.end]))


def _pieces(passage: str, block: Block) -> Iterator[Sentence]:
    """The sentences of a block of prose; any other block whole."""
    start, kind = block.start, block.kind
    if _stands_alone(passage[block.start : block.end], kind):
        kind = Kind.HEADING
    if kind in (Kind.PROSE, Kind.BULLET):
        for match in BOUNDARY.finditer(passage, block.start, block.end):
            if ends_sentence(
                passage[start : match.start()], passage[match.end() : match.end() + 24], mark=match.group()[0]
            ):
                yield from _piece(passage, start, match.start(1), kind)
                start = match.end()
    yield from _piece(passage, start, block.end, kind)


def _stands_alone(text: str, kind: Kind) -> bool:
    """Whether a block of prose is a heading in small letters: one short line, no sentence, without figures."""
    short = kind is Kind.PROSE and "\n" not in text and len(text.split()) <= 12
    told = NUMBERING.sub("", text, count=1)
    return short and not ENDING.search(text) and not any(character.isdigit() for character in told)


def ends_sentence(before: str, after: str, *, mark: str) -> bool:
    """Whether the mark between `before` and `after` ends a sentence: not in "No. 5" or "Acme Inc. Group"."""
    if mark != ".":
        return True
    last = LAST_WORD.search(before)
    if last is None:
        return False
    word = last.group(1).lstrip("(\"'“‘[").lower()
    if word in NEVER_ENDS or (word.isdigit() and last.start() == 0):
        return False
    if word in SELDOM_ENDS or (len(word) == 1 and word.isalpha()):
        return bool(STARTERS.match(after))
    return not NUMBERING.fullmatch(before + ". ")


def _piece(passage: str, start: int, end: int, kind: Kind) -> Iterator[Sentence]:
    """The piece without its numbering and the space around it; nothing when it is empty."""
    numbering = NUMBERING.match(passage, start, end)
    if numbering and kind is not Kind.ROW:
        start = numbering.end()
    quote = passage[start:end]
    start, end = start + len(quote) - len(quote.lstrip()), end - len(quote) + len(quote.rstrip())
    text = plain(passage[start:end], kind=kind)
    if text:
        yield Sentence(text, start, end, kind)


def plain(quote: str, *, kind: Kind = Kind.PROSE) -> str:
    """On one line, without Markdown's marks, words that were hyphenated at a line's end made whole."""
    if kind is Kind.ROW:
        return _cells(quote)
    joined = re.sub(r"(?<=[a-z])-\n\s*(?=[a-z])", "", quote)
    unquoted = re.sub(r"\n\s*>+", " ", joined)
    return " ".join(MARKUP.sub("", unquoted).split())


def _cells(row: str) -> str:
    """A table's row as `Name: value`, or with its cells kept apart."""
    cells = [plain(cell) for cell in re.split(r"\s*\|\s*|\t+|\s{3,}", row.strip().strip("|"))]
    filled = [cell for cell in cells if cell]
    return f"{filled[0].rstrip(':')}: {filled[1]}" if len(filled) == 2 else " | ".join(filled)
