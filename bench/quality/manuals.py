"""Whether a summary of a manual page says what the page's own NAME line says, which the page is given without."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.quality.desk import Desk
from bench.quality.fleet import Order, rows_of
from bench.report import Figure, Report
from viiwork.jobs import Row
from viiwork.multipart import TextDocument

PAGES = 60
"""Pages that are summarized, unless another number is given."""
FEWEST_WORDS = 200
NAME = re.compile(r"(?P<name>[\w.:/@, -]+?) - (?P<about>.+)")
SECTION = re.compile(r"^\.SH +\"?(.+?)\"?$", re.MULTILINE)
LINK = re.compile(r"^\.so ", re.MULTILINE)
FONT = re.compile(r"\\f(?:\[[^]]*\]|\(..|.)|\\[&|/^%c]|\\s[-+]?\d")
NAMED = {"em": "—", "aq": "'", "dq": '"', "rs": "\\", "bu": "•", "lq": '"', "rq": '"', "ha": "^", "ti": "~"}
SIGN = re.compile(r"\\\[(\w+)\]|\\\((\w\w)")
MACRO = re.compile(r"^[.'](?P<macro>[A-Za-z]+) *(?P<words>.*)$")
SPOKEN = ("B", "I", "SS", "SM", "SB")
GLUED = ("BR", "IR", "RB", "RI", "BI", "IB")
"""Macros whose words people read; `.BR open (2)` as `open(2)`."""
WORD = re.compile(r"[a-z]{3,}")
STOPWORDS = frozenset(("the", "and", "for", "with", "from", "that", "this", "are", "not", "its", "has", "have", "can"))


@dataclass(frozen=True, slots=True)
class Manual:
    """A page without its NAME section, and what that said."""

    name: str
    about: str
    body: str


async def measure(desk: Desk) -> Report:
    """No floor: nobody has said what a good figure is. The page's first sentences stand beside it for comparison."""
    pages = list(manuals(desk.library.unpacked("manpages")))
    step = max(1, len(pages) // (desk.most or PAGES))
    chosen = pages[::step][: desk.most or PAGES]
    documents = [TextDocument(page.body, name=page.name) for page in chosen]
    (rows,) = await rows_of(desk, [Order("summarize", documents)], "manual pages")
    return Report("summarize", figures(chosen, rows))


def figures(pages: Sequence[Manual], rows: Sequence[Row]) -> dict[str, Figure]:
    """Of the NAME lines' words, those that summaries have, and those that as many first words of the pages have."""
    said = [row.answer.text if row.answer else "" for row in rows]
    leads = [" ".join(page.body.split()[: len(text.split())]) for page, text in zip(pages, said, strict=True)]
    return {
        "name_words_in_summary": _shared(pages, said),
        "name_words_in_first_words": _shared(pages, leads),
        "pages": len(pages),
        "words_of_a_summary": sum(len(text.split()) for text in said) / len(said),
        "unanswered": said.count(""),
    }


def manuals(folder: Path) -> Iterator[Manual]:
    """Pages in English that are long enough to be summarized; one that is made of tables says little in words."""
    for path in sorted(folder.glob("usr/share/man/man*/*")):
        source = path.read_text("utf-8", errors="replace")
        page = None if LINK.search(source) else manual(path.name, source)
        if page is not None and len(page.body.split()) >= FEWEST_WORDS:
            yield page


def manual(file: str, source: str) -> Manual | None:
    """The page without its NAME section; None where that section has no line of the usual form."""
    _, *rest = SECTION.split(source)
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    named = NAME.match(" ".join(plain(sections.pop("NAME", "")).split()))
    if named is None:
        return None
    body = "\n\n".join(f"{name.strip()}\n\n{plain(text)}" for name, text in sections.items())
    return Manual(file, named["about"], body)


def plain(roff: str) -> str:
    """The words of a page's source, near enough to what `man` shows."""
    return "\n".join(_lines(roff)).strip()


def _lines(roff: str) -> Iterator[str]:
    for line in roff.splitlines():
        macro = MACRO.match(line)
        if line.startswith(('.\\"', "'\\\"")):
            continue
        if macro is None:
            yield _words(line)
        elif macro["macro"] in ("PP", "P", "LP"):
            yield ""
        elif macro["macro"] in SPOKEN:
            yield _words(macro["words"].replace('"', ""))
        elif macro["macro"] in GLUED:
            yield _words("".join(re.findall(r'"[^"]*"|\S+', macro["words"])).replace('"', ""))


def _words(line: str) -> str:
    line = FONT.sub("", line).replace("\\-", "-").replace("\\ ", " ").replace("\\e", "\\")
    return SIGN.sub(lambda sign: NAMED.get(sign[1] or sign[2], ""), line)


def _shared(pages: Sequence[Manual], texts: Sequence[str]) -> float:
    wanted = [_content(page.about) for page in pages]
    found = sum(len(words & _content(text)) for words, text in zip(wanted, texts, strict=True))
    return found / max(1, sum(map(len, wanted)))


def _content(text: str) -> set[str]:
    return set(WORD.findall(text.lower())) - STOPWORDS
