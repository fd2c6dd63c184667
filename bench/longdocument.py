"""How much sooner a long document is done on four simulated cards than on one: its parts spread, or they do not."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fpdf import FPDF

from bench.crew import OURS, Crew, crew
from bench.machine import machine
from bench.prompts import WORDS
from bench.report import Figure, Goal, Report
from bench.rig import Rig
from bench.rounds import median, ratios
from bench.trace import Span, makespan_s, read_spans
from viiwork.api.work import Item, Order, reading
from viiwork.jobs import Lane, new_id
from viiwork.store import Store
from viiwork.work import AnalysisTask, Label, TaskOptions

CARDS = 4
SLOTS = 16
TIME_SCALE = 0.2
"""The cards run five times as fast as real ones. What VIIWork itself does is not sped up: it weighs so much more."""
WORDS_A_PAGE = 400
SENTENCE_WORDS = 16
LINE_MM = 4.5
TIMEOUT_S = 3600.0
LABELS = tuple(Label(name=name, description=about) for name, about in (("lease", "of a home"), ("report", "of a lab")))
ASKED = {
    AnalysisTask.SUMMARIZE: TaskOptions(),
    AnalysisTask.CLASSIFY: TaskOptions(labels=LABELS),
}
"""The one is put together by engine calls, level upon level, the other without; so is an extraction, which simulated
cards refuse: they cannot fill a schema."""
GOALS = tuple(Goal(f"{task.value}_four_cards_to_one", at_most=0.3) for task in ASKED)


@dataclass(frozen=True, slots=True)
class Course:
    """One analysis of the document, step by step; seconds on Redis' clock."""

    seconds: float
    read_s: float
    """From the submit until the parts are there: read, cut, submitted."""
    map_s: float
    """From then on until the last part has its answer."""
    parts: int
    most_parts_on_a_card: int
    levels: int
    """Of engine calls that put answers together."""

    @property
    def merge_s(self) -> float:
        return self.seconds - self.read_s - self.map_s


async def run(rig: Rig, *, jobs: int, rounds: int) -> Report:
    """A document of `jobs` pages, each task on one card and on four in turn, `rounds` times."""
    figures: dict[str, Figure] = {
        **machine(),
        "simulated": f"Radeon VII with Mistral-7B, time_scale {TIME_SCALE}; no model ran",
        "pages": jobs,
        "slots_per_card": SLOTS,
        "rounds": rounds,
    }
    document, store = make_document(jobs), rig.store()
    engine = {"kind": "simulated", "process": True, "time_scale": TIME_SCALE}
    names = [f"gpu{number}" for number in range(CARDS + 1)]
    try:
        with rig.worker("reader0", [*OURS, "reader0"]):
            async with (
                crew(rig, store, model="one", names=names[:1], slots=SLOTS, engine=engine) as one,
                crew(rig, store, model="four", names=names[1:], slots=SLOTS, engine=engine) as four,
            ):
                await _analyse(store, one, AnalysisTask.CLASSIFY, make_document(1))  # a warm-up
                for task in ASKED:
                    pairs = [
                        [await _analyse(store, cards, task, document) for cards in (one, four)] for _ in range(rounds)
                    ]
                    figures |= _figures(task, *zip(*pairs, strict=True))
    finally:
        await store.close()
    return Report("longdocument", figures, GOALS)


def make_document(pages: int) -> bytes:
    """A PDF of running text; the same for the same number of pages."""
    lot, pdf = random.Random(pages), FPDF()
    pdf.set_title("A long report")
    pdf.set_font("helvetica", size=9)
    for number in range(pages):
        pdf.add_page()
        words = [f"Page {number + 1}.", *lot.choices(WORDS, k=WORDS_A_PAGE)]
        words[SENTENCE_WORDS::SENTENCE_WORDS] = [f"{word}." for word in words[SENTENCE_WORDS::SENTENCE_WORDS]]
        pdf.multi_cell(0, LINE_MM, " ".join(words))
    return bytes(pdf.output())


async def _analyse(store: Store, cards: Crew, task: AnalysisTask, document: bytes) -> Course:
    blob = await store.blobs.put(document)
    item = Item(name="report.pdf", blob=blob)
    order = Order(task=task, options=ASKED[task], lane=Lane.BATCH, model=cards.model, asked_model=None, items=[item])
    batch = new_id("an")
    tenant = f"bench-{batch}"  # what was read once is not read again for the same submitter
    await store.open_batch(id=batch, tenant=tenant, lane=Lane.BATCH, model=cards.model, task=task.value, total=1)
    await store.submit([reading(batch, order, 0, item, tenant=tenant, timeout_s=TIMEOUT_S)])
    await store.seal(batch)
    await cards.ended(batch, within_s=TIMEOUT_S)
    (ids,) = await store.read([("LRANGE", f"{store.prefix}batch:{batch}:jobs", "0", "-1")])
    return course_of(dict(zip(ids, await read_spans(store, ids), strict=True)))


def course_of(spans: dict[str, Span]) -> Course:
    """The steps by the names that a reader gives them: `…l0p7` is a part, `…l1p0` a call that puts answers together."""
    parts = [span for name, span in spans.items() if _level(name) == 0]
    begin_ms = min(span.created_ms for span in spans.values())
    return Course(
        seconds=makespan_s(list(spans.values())),
        read_s=(min(span.created_ms for span in parts) - begin_ms) / 1000,
        map_s=makespan_s(parts),
        parts=len(parts),
        most_parts_on_a_card=max(Counter(span.worker for span in parts).values()),
        levels=max(map(_level, spans)),
    )


def _level(name: str) -> int:
    """Of a job for an engine; -1 of a step that a reader does."""
    stem, _, part = name.rpartition("p")
    _, _, level = stem.rpartition("l")
    return int(level) if part.isdigit() and level.isdigit() else -1


def _figures(task: AnalysisTask, one: Sequence[Course], four: Sequence[Course]) -> dict[str, Figure]:
    pairs = ratios([course.seconds for course in four], [course.seconds for course in one])
    name = task.value
    figures: dict[str, Figure] = {
        f"{name}_four_cards_to_one": median(pairs),
        f"{name}_four_cards_to_one_lowest_pair": pairs[0],
        f"{name}_four_cards_to_one_highest_pair": pairs[-1],
        f"{name}_parts": one[0].parts,
        f"{name}_merge_levels": one[0].levels,
        f"{name}_four_most_parts_on_a_card": max(course.most_parts_on_a_card for course in four),
    }
    for which, courses in {"one": one, "four": four}.items():
        for step in ("seconds", "read_s", "map_s", "merge_s"):
            figures[f"{name}_{which}_{step}"] = median(getattr(course, step) for course in courses)
    return figures
