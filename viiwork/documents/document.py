"""A document that has been read: its pages of text and what a reader of an answer must know about them."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from viiwork.documents.outcomes import outcome

PAGE_BREAK = "\n\n"
MAX_TITLE = 300
MAX_HEADINGS = 10_000
MAX_SPACES = 64
MAX_LISTED = 1_000_000
"""Characters of a text that is taken apart into lines, or copied to be looked at."""

# What no answer needs and JSON, terminals or Redis may choke on: control characters but tab and newline, lone
# surrogates, byte order marks inside the text, and the two code points that are never characters.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
_NEWLINES = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]{2,}|[^\S\n ]")
# Any sign that one of these may find: without one, a text is done in a sixth of the time.
_ODD = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff\ufeff\ufffe\uffff]"
)
_PLAIN_ASCII = bytes(code for code in range(128) if not _ODD.match(chr(code)))
_SPACES = re.compile(" {2,}")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_BLANK_RUN = re.compile(r"\n{4,}")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and where it starts in the document's text; level 1 is the highest."""

    level: int
    text: str
    start: int


@dataclass(frozen=True)
class Document:
    """The text of a document, page by page; formats without pages have one."""

    media_type: str
    pages: tuple[str, ...]
    title: str = ""
    headings: tuple[Heading, ...] = ()
    notes: tuple[str, ...] = ()
    """Plain sentences, such as which pages have no text."""
    author: str = ""
    created: str = ""
    """A day, as ISO 8601 writes it."""
    language: str | None = None
    """The code of the language that most of it is in; None where that is not clear."""

    @cached_property
    def text(self) -> str:
        """All pages, joined by `PAGE_BREAK`; spans count characters of this."""
        return PAGE_BREAK.join(self.pages)

    @cached_property
    def page_starts(self) -> tuple[int, ...]:
        """Where each page starts in `text`."""
        lengths = (len(page) + len(PAGE_BREAK) for page in self.pages[:-1])
        return tuple(accumulate(lengths, initial=0))

    @property
    def characters(self) -> int:
        """How many characters of text all pages have together."""
        return sum(len(page) for page in self.pages)


def inline_document(text: str, *, title: str = "") -> Document:
    """The document that a text given inline is. Raises DocumentError `empty` when there is nothing in it."""
    page = tidy(text)
    if not page:
        raise outcome("empty")
    return Document(media_type="text/plain", pages=(page,), title=title_of(title))


def tidy(text: str) -> str:
    """The text with plain newlines and blanks, without control characters, trailing spaces and long blank runs.

    Besides newlines it knows two blanks: one tab, or spaces up to `MAX_SPACES`. With hundreds of kinds of blank runs a
    hostile text could drive what cuts it, which recurses once a kind, out of its stack.
    """
    plain = text.replace("\r\n", "\n").replace("\xa0", " ")  # most pages have no other odd sign than these
    if _is_odd(plain):
        plain = _BLANKS.sub(_even, _UNWANTED.sub("", _NEWLINES.sub("\n", plain)))
    elif "  " in plain:
        plain = _SPACES.sub(_even, plain)
    lines = _without_trailing(plain)
    return (_BLANK_RUN.sub("\n\n\n", lines) if "\n\n\n\n" in lines else lines).strip("\n")


def _is_odd(text: str) -> bool:
    """As bytes, the plain signs of ASCII are left out in a fifth of the time of looking at each; it takes copies."""
    if len(text) > MAX_LISTED:
        return bool(_ODD.search(text))
    rest = text.encode("utf-8", "surrogatepass").translate(None, _PLAIN_ASCII)
    return bool(_ODD.search(rest.decode("utf-8", "surrogatepass")))


def _without_trailing(text: str) -> str:
    """Line by line is six times as quick, but a list of 64 million empty lines takes half a gigabyte."""
    if len(text) > MAX_LISTED:
        return _TRAILING.sub("", text)
    return "\n".join([line.rstrip(" \t") for line in text.split("\n")])


def _even(blanks: re.Match[str]) -> str:
    return "\t" if "\t" in blanks[0] else " " * min(len(blanks[0]), MAX_SPACES)


def title_of(text: str) -> str:
    """The text as a title: one line, at most `MAX_TITLE` characters."""
    return " ".join(tidy(text[: 4 * MAX_TITLE]).split())[:MAX_TITLE]


def named(noun: str, numbers: Sequence[int]) -> str:
    """`Page 3 has`, `Pages 3, 4 have`, or with many the first ten and how many more."""
    shown = ", ".join(str(number) for number in numbers[:10])
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return f"{noun} {shown} has" if len(numbers) == 1 else f"{noun}s {shown}{more} have"


def find_headings(text: str, headings: Iterable[tuple[int, str]]) -> tuple[Heading, ...]:
    """Where the headings (level and words, in reading order) stand as lines of their own; others are left out."""
    lines = _lines(text)
    found: list[Heading] = []
    position = 0
    for level, words in headings:
        starts = lines.get(" ".join(words.split()), [])
        at = bisect_left(starts, position)
        if at < len(starts) and len(found) < MAX_HEADINGS:
            found.append(Heading(level=level, text=title_of(words), start=starts[at]))
            position = starts[at] + 1
    return tuple(found)


def _lines(text: str) -> dict[str, list[int]]:
    """Each non-empty line, its spaces evened out, and where its words start."""
    lines: dict[str, list[int]] = defaultdict(list)
    for match in re.finditer(r"[^\s][^\n]*", text):
        lines[" ".join(match.group().split())].append(match.start())
    return lines
