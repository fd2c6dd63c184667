"""Whether fortune cookies get the subject of the file that they are from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from bench.quality.desk import SEED, Desk
from bench.quality.fleet import Order, rows_of
from bench.report import Figure, Goal, Report
from viiwork.jobs import Row
from viiwork.multipart import TextDocument
from viiwork.work import Label

GOALS = (Goal("right", at_least=0.58), Goal("cookies", at_least=421))
COOKIES = 45
"""Of each subject."""
FEWEST_WORDS, MOST_WORDS = 15, 300
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
LABELS = tuple(Label(name=name, description=text) for name, text in SUBJECTS.items())


async def measure(desk: Desk) -> Report:
    """One analysis of all of them, through a fleet."""
    folders = [desk.library.unpacked(name) for name in ("fortunes", "fortunes-min")]
    chosen = desk.some([(name, cookie) for name in SUBJECTS for cookie in cookies(folders, name)])
    documents = [TextDocument(cookie, name=name) for name, cookie in chosen]
    (rows,) = await rows_of(desk, [Order("classify", documents, {"labels": LABELS})], "fortunes")
    return Report("classify", figures([name for name, _ in chosen], rows), GOALS if desk.most is None else GOALS[:1])


def figures(names: Sequence[str], rows: Sequence[Row]) -> dict[str, Figure]:
    """The share that is right; a cookie without an answer, or with one that is no label, is not."""
    labels = [row.answer.label if row.answer else None for row in rows]
    right = sum(name == label for name, label in zip(names, labels, strict=True))
    return {"right": right / len(names), "cookies": len(names), "without_a_label": labels.count(None)}


def cookies(folders: Sequence[Path], name: str) -> list[str]:
    """Some of a subject, the same ones every time."""
    path = next(path for folder in folders for path in folder.rglob(f"games/fortunes/{name}"))
    text = path.read_text("utf-8", errors="replace")
    whole = [cookie for cookie in text.split("\n%\n") if FEWEST_WORDS <= len(cookie.split()) <= MOST_WORDS]
    random.Random(SEED).shuffle(whole)
    return whole[:COOKIES]
