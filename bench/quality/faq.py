"""Whether the right section of the Debian FAQ answers its question: all sections are one text, without headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

from bench.quality.desk import Desk
from bench.quality.fleet import Order, rows_of
from bench.report import Figure, Goal, Report
from viiwork.documents import inline_document
from viiwork.multipart import TextDocument
from viiwork.work import Reply

GOALS = (Goal("hit_at_3", at_least=0.65), Goal("questions", at_least=98))
FEWEST_WORDS = 15
"""A shorter section refers to another one, and answers nothing."""
HITS = 3
AT_ONCE = 27
"""Questions of one analysis."""
NUMBERED = re.compile(r"^[\d. ]*")
BETWEEN = "\n\n"


@dataclass(frozen=True, slots=True)
class Section:
    """A question, and the characters of the text that answer it."""

    question: str
    start: int
    end: int

    def holds(self, place: int | None) -> bool:
        return place is not None and self.start <= place < self.end


async def measure(desk: Desk) -> Report:
    """By the preview's own ranking of all sentences; of a language model, by the quotes of its answers.

    `through_the_fleet_…` is what a person gets: the document cut to parts, and the best part's answer.
    """
    text, sections = faq(desk.library.unpacked("debian-faq"))
    asked = desk.some(sections)
    orders = [_order(text, asked[at : at + AT_ONCE]) for at in range(0, len(asked), AT_ONCE)]
    rows = [row for (row,) in await rows_of(desk, orders, "the FAQ")]
    replies = {reply.question: reply for row in rows if row.answer for reply in row.answer.answers}
    told = [_places(replies.get(section.question)) for section in asked]
    of_fleet = hits(asked, told)
    parts = max((row.answer.parts for row in rows if row.answer), default=0)
    counted = {"questions": len(asked), "parts": parts, "unanswered": sum(not places for places in told)}
    goals = GOALS if desk.most is None else GOALS[:1]
    if desk.writes:
        return Report("ask", of_fleet | counted, goals)
    fleet = {f"through_the_fleet_{name}": figure for name, figure in of_fleet.items() if name == "hit_at_1"}
    return Report("ask", hits(asked, list(ranked(desk, text, asked))) | fleet | counted, goals)


def hits(sections: Sequence[Section], told: Sequence[Sequence[int]]) -> dict[str, Figure]:
    """How often the first place, and one of the first three, is in the right section."""
    first = [any(map(section.holds, places[:1])) for section, places in zip(sections, told, strict=True)]
    three = [any(map(section.holds, places[:HITS])) for section, places in zip(sections, told, strict=True)]
    return {"hit_at_1": sum(first) / len(first), "hit_at_3": sum(three) / len(three)}


def ranked(desk: Desk, text: str, asked: Sequence[Section]) -> Iterator[list[int]]:
    """Where the preview's best sentences start: the function that its worker calls, on the text as one passage."""
    from viiwork_workers.engines.extractive.embeddings import load_embedder
    from viiwork_workers.engines.extractive.quoting import weigh

    embedder = load_embedder()
    for section in desk.watched(asked, "ranking"):
        weighed = weigh(text, question=section.question, embedder=embedder)
        yield [weighed.pieces[place].start for place in weighed.order[:HITS]] if weighed else []


def faq(folder: Path) -> tuple[str, list[Section]]:
    """The text of all sections that are headed by a question, and where each is in it."""
    text, sections = "", list[Section]()
    for page in sorted(folder.rglob("FAQ/*.en.html")):
        for question, body in _sections(page.read_text("utf-8", errors="replace")):
            sections.append(Section(question, len(text), len(text) + len(body)))
            text += body + BETWEEN
    even = inline_document(text).text  # as a reader has it: places count characters of that
    if not text.startswith(even):
        raise ValueError("the FAQ's text is not as even as a document's: its sections would be elsewhere")
    return even, sections


def _sections(page: str) -> Iterator[tuple[str, str]]:
    """Each question that heads a section, with what stands under it."""
    for section in LexborHTMLParser(page).css("div.section"):
        heading = section.css_first("h2.title, h3.title")
        if heading is None or len(section.css("div.section")) > 1:
            continue
        question = NUMBERED.sub("", _one_line(heading.text()))
        body = _one_line(section.text(separator=" ").replace(heading.text(), "", 1))
        if question.endswith("?") and len(body.split()) >= FEWEST_WORDS:
            yield question, body


def _order(text: str, sections: Sequence[Section]) -> Order:
    """The text is read and cut once for all these questions."""
    return Order("ask", [TextDocument(text, name="faq")], {"questions": [one.question for one in sections]})


def _places(reply: Reply | None) -> list[int]:
    """Where an answer's quotes start, those that stand in the document."""
    pieces = reply.evidence if reply else ()
    return [piece.start for piece in pieces if piece.start is not None and not piece.unsupported]


def _one_line(text: str) -> str:
    return " ".join(text.split())
