"""How often the extractive preview is right: `python -m bench.extractive_quality [--json]`.

Always on the samples of this project; with `--debian DIR` also on the Debian FAQ and on fortune cookies
(`apt-get download debian-faq fortunes fortunes-min`, then `dpkg -x PACKAGE DIR` for each).
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from viiwork.documents import Document, Limits
from viiwork.documents.parse import parse
from viiwork.work import AnalysisTask, Answer, Label, StepInput, TaskOptions
from viiwork_workers.engines.extractive.embeddings import Embedder, load_embedder
from viiwork_workers.engines.extractive.engine import ANSWERS
from viiwork_workers.engines.extractive.labelling import classify
from viiwork_workers.engines.extractive.quoting import FLOOR, answer

SAMPLES = Path(__file__).parent.parent / "samples"
COOKIES = 45
"""Of each subject."""
SUBJECTS = {
    "computers": "computers, software, programming, hardware, bugs",
    "medicine": "medicine, doctors, patients, hospitals, illness, health",
    "law": "law, lawyers, courts, judges, crime, justice",
    "food": "food, cooking, eating, drinking, restaurants, recipes",
    "love": "love, romance, kisses, lovers, marriage",
    "sports": "sports, football, baseball, games, players, teams",
    "politics": "politics, government, elections, presidents, war",
    "science": "science, physics, mathematics, research, theory, nature",
    "kids": "children, parents, babies, kids growing up",
    "education": "education, school, university, teachers, students, learning",
}
NUMBERED = re.compile(r"^[\d. ]*")


def main() -> None:
    """Measure, and print a line for each miss."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="print figures only, as JSON")
    arguments.add_argument("--debian", type=Path, help="where debian-faq and fortunes were unpacked")
    chosen = arguments.parse_args()
    embedder = load_embedder()
    figures, misses = on_samples(embedder)
    if chosen.debian:
        figures["faq_hit_at_1"] = on_faq(embedder, chosen.debian)
        figures["fortunes_right"] = on_fortunes(embedder, chosen.debian)
    print(json.dumps(figures if chosen.json else figures | {"misses": misses}, indent=2))


def on_samples(embedder: Embedder) -> tuple[dict[str, float], list[str]]:
    """Shares of labels and facts that are right, of those with no answer, and what was missed."""
    expected = json.loads((SAMPLES / "expected.json").read_text())
    labels = tuple(Label(name=name, description=text) for name, text in expected["labels"].items())
    good = {name: facts for name, facts in expected["files"].items() if not facts["bad"]}
    outcomes = [
        outcome
        for name, facts in good.items()
        for outcome in _of_document(name, facts, labels=labels, embedder=embedder)
    ]
    figures = {f"{what}_right": _share(outcomes, what, "right") for what in ("label", "fact")}
    figures |= {"fact_unanswered": _share(outcomes, "fact", "unanswered"), "facts": _count(outcomes, "fact")}
    return figures, [told for _, verdict, told in outcomes if verdict != "right"]


def _of_document(
    name: str, facts: dict[str, Any], *, labels: tuple[Label, ...], embedder: Embedder
) -> Iterator[tuple[str, str, str]]:
    document = parse((SAMPLES / "documents" / name).read_bytes(), name=name, limits=Limits())
    found = _answered(document, AnalysisTask.CLASSIFY, TaskOptions(labels=labels), embedder=embedder)
    yield "label", "right" if found.label == facts["label"] else "wrong", f"{name}: {found.label}, not {facts['label']}"
    for question, accepted in facts["facts"].items():
        found = _answered(document, AnalysisTask.ASK, TaskOptions(question=question), embedder=embedder)
        right = any(_plain(piece) in _plain(found.text) for piece in accepted)
        wrong = "unanswered" if (found.confidence or 0) < FLOOR else "wrong"
        yield "fact", "right" if right else wrong, f"{name}: {question} -> {found.confidence} {found.text[:120]}"


def _answered(document: Document, task: AnalysisTask, options: TaskOptions, *, embedder: Embedder) -> Answer:
    return ANSWERS[task](StepInput(task=task, options=options, title=document.title, text=document.text), embedder)


def on_faq(embedder: Embedder, folder: Path) -> float:
    """The share of a FAQ's questions whose answer is picked from the right section, all sections as one document."""
    sections = [section for page in sorted(folder.rglob("FAQ/*.en.html")) for section in _sections(page)]
    text, spans = "", []
    for _, body in sections:
        spans.append((len(text), len(text) + len(body)))
        text += body + "\n\n"
    picked = [answer(text, question=question, embedder=embedder).pieces for question, _ in sections]
    hits = [bool(pieces) and begin <= pieces[0].start < end for pieces, (begin, end) in zip(picked, spans, strict=True)]
    return round(sum(hits) / len(hits), 3)


def _sections(page: Path) -> Iterator[tuple[str, str]]:
    """Each question that heads a section, with what stands under it."""
    for section in LexborHTMLParser(page.read_text(errors="replace")).css("div.section"):
        heading = section.css_first("h2.title, h3.title")
        if heading is None or len(section.css("div.section")) > 1:
            continue
        question = NUMBERED.sub("", _plain_case(heading.text()))
        body = _plain_case(section.text(separator=" ").replace(heading.text(), "", 1))
        if question.endswith("?") and len(body.split()) >= 8:
            yield question, body


def on_fortunes(embedder: Embedder, folder: Path) -> float:
    """The share of fortune cookies whose file is told from their text."""
    labels = tuple(Label(name=name, description=text) for name, text in SUBJECTS.items())
    cookies = [(name, cookie) for name in SUBJECTS for cookie in _cookies(folder, name)]
    found = [classify(text, title="", labels=labels, embedder=embedder).label for _, text in cookies]
    return round(sum(name == label for (name, _), label in zip(cookies, found, strict=True)) / len(cookies), 3)


def _cookies(folder: Path, name: str) -> list[str]:
    text = next(folder.rglob(f"games/fortunes/{name}")).read_text(errors="replace")
    whole = [cookie for cookie in text.split("\n%\n") if 15 <= len(cookie.split()) <= 300]
    random.Random(1).shuffle(whole)
    return whole[:COOKIES]


def _share(outcomes: list[tuple[str, str, str]], what: str, verdict: str) -> float:
    of_kind = [outcome[1] for outcome in outcomes if outcome[0] == what]
    return round(of_kind.count(verdict) / len(of_kind), 3)


def _count(outcomes: list[tuple[str, str, str]], what: str) -> int:
    return sum(outcome[0] == what for outcome in outcomes)


def _plain(text: str) -> str:
    return _plain_case(text).casefold()


def _plain_case(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
