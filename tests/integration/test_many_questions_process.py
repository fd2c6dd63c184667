"""Several questions, and several labels, to real workers: a reader that cuts, an engine, one row a document."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.door import Door
from tests.workers import Fleet, ready
from viiwork import Client
from viiwork.jobs import Row
from viiwork.settings import Settings
from viiwork.store import Store

ASKED = ["What rent does the tenant pay?", "How long is the notice period?", "Which planets have rings?"]
LEASE = "The tenant pays a monthly rent of 900 euros.\n\nThe notice period is three months.\n\nNobody may keep a dog.\n"
FILLER = "The parties met again in the old town hall and talked about the weather of that year.\n\n" * 250


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": settings.engine.model_copy(update={"kind": "extractive"})})


async def test_a_long_document_and_a_short_one_have_an_answer_to_each_question(
    real_store: Store, settings: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """The preview says how sure it is, so what its parts say is put together without another call."""
    fleet.start("cpu0", "reader0")
    (tmp_path / "long.txt").write_text(FILLER + LEASE + FILLER)
    (tmp_path / "short.txt").write_text(LEASE)
    await ready(real_store, 2)

    def asked() -> list[Row]:
        with Door(settings) as door, Client(door.url) as client:
            analysis = client.analyze([tmp_path / "long.txt", tmp_path / "short.txt"], task="ask", questions=ASKED)
            return sorted(analysis, key=lambda row: row.index)  # as they come

    long, short = await asyncio.to_thread(asked)
    assert long.answer is not None and short.answer is not None
    assert long.answer.parts > 1
    for answer in (long.answer, short.answer):
        rent, notice, planets = answer.answers
        assert "900 euros" in rent.text
        assert "three months" in notice.text
        assert (rent.answered, notice.answered, planets.answered) == (True, True, False)
        assert all(not quote.unsupported and quote.start is not None for quote in rent.evidence)


async def test_simulated_cards_label_and_answer_several_at_a_time(
    real_store: Store, settings: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """By lot, and they say so; what comes out has the form that a model's answers have."""
    engine = settings.engine.model_copy(update={"kind": "simulated", "time_scale": 0.01})
    fleet.start("gpu0", "reader0", settings=settings.model_copy(update={"engine": engine}))
    (tmp_path / "long.txt").write_text(FILLER * 4 + LEASE)
    await ready(real_store, 2)

    def asked() -> tuple[Row, Row]:
        with Door(settings) as door, Client(door.url) as client:
            labels = ["rent", "notice", "pets"]
            how = client.analyze(tmp_path / "long.txt", task="classify", labels=labels, multi=True, rationale=True)
            said = client.analyze(tmp_path / "long.txt", task="ask", questions=ASKED)
            (labelled,), (answered,) = list(how), list(said)
            return labelled, answered

    labelled, answered = await asyncio.to_thread(asked)
    assert labelled.answer is not None and answered.answer is not None
    assert labelled.answer.notice == answered.answer.notice != ""
    assert set(labelled.answer.scores) == {"rent", "notice", "pets"} >= set(labelled.answer.labels)
    assert set(labelled.answer.rationales) == set(labelled.answer.labels)
    assert [reply.question for reply in answered.answer.answers] == ASKED
    assert all(reply.text.startswith("[simulated]") for reply in answered.answer.answers)
