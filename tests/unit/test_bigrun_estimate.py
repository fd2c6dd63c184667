"""What an analysis will take: held against simulated cards on their own clock, and against what is read."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.documents_made import make_pdf
from viiwork.bigrun.bound import at_most
from viiwork.bigrun.estimate import Estimate, estimate
from viiwork.bigrun.survey import Survey, survey
from viiwork.cli.estimate import is_prompted, remarks_on
from viiwork.cli.estimateview import energy_words
from viiwork.documents.limits import Limits
from viiwork.documents.room import Room, at_hand
from viiwork.multipart import FileDocument
from viiwork.roster import WorkerCard
from viiwork.runs import Run
from viiwork.work import AnalysisTask, Label, StepInput, TaskOptions
from viiwork_workers.engines.intake import texts_of
from viiwork_workers.engines.simulated.card_model import MISTRAL_7B
from viiwork_workers.engines.simulated.schedule import Request, Schedule

CARDS, SLOTS = 4, 16
ROOM = Room(500, 100, False, lambda text: len(text.split()))
Call = tuple[int, int]
"""Tokens that go in, and that come out."""


async def card_seconds(calls: Sequence[Call]) -> float:
    """How long one simulated card takes for them, by its own clock: nothing here waits."""
    schedule, seconds = Schedule(MISTRAL_7B, SLOTS), 0.0
    loop = asyncio.get_running_loop()
    schedule.waiting.extend(Request(taken, written, loop.create_future()) for taken, written in calls)
    while True:
        schedule.admit()
        stretch = schedule.next_stretch()
        if stretch is None:
            return seconds
        seconds += stretch.seconds
        schedule.advance(stretch)


async def fleet_seconds(calls: Sequence[Call]) -> float:
    """All cards, each with every fourth call."""
    return max([await card_seconds(calls[card::CARDS]) for card in range(CARDS)])


def documents(count: int, *, seed: int) -> list[Call]:
    """Of very different lengths, one call each."""
    chance = random.Random(seed)
    lengths = (min(7000, int(chance.lognormvariate(6.8, 0.9)) + 60) for _ in range(count))
    return [(tokens, chance.randint(60, 140)) for tokens in lengths]


async def run_of(calls: Sequence[Call], *, slots: int = CARDS * SLOTS, task: str = "summarize") -> Run:
    """What a fleet remembers of such a run."""
    return Run(
        task=task,
        model="sim",
        finished_ms=1,
        calls=len(calls),
        prompt_tokens=sum(taken for taken, _ in calls),
        output_tokens=sum(written for _, written in calls),
        seconds=await fleet_seconds(calls),
        slots=slots,
        energy_j=1000.0,
    )


def reckoned(calls: Sequence[Call], runs: Sequence[Run], *, slots: int = CARDS * SLOTS) -> Estimate:
    """The estimate of documents that make these calls."""
    found = Survey(documents=len(calls), pages=len(calls), passage_tokens=sum(taken - 100 for taken, _ in calls))
    found.parts[1] = len(calls)
    return estimate(
        found,
        model="sim",
        engine="simulated",
        slots=slots,
        room=ROOM,
        task=AnalysisTask.SUMMARIZE,
        options=TaskOptions(),
        runs=runs,
    )


async def test_300_documents_are_reckoned_within_30_per_cent_by_an_earlier_run() -> None:
    """Both ends of the range are, and it has the simulated cards' own time in it."""
    calls, before = documents(300, seed=1), await run_of(documents(200, seed=2))
    found, truth = reckoned(calls, [before]), await fleet_seconds(calls)
    assert found.by is not None
    assert found.work.prompt_tokens.low == sum(taken for taken, _ in calls)
    for end in (found.by.seconds.low, found.by.seconds.high):
        assert 0.7 * truth <= end <= 1.3 * truth


async def test_a_sample_that_left_slots_idle_gives_a_wide_range_with_the_truth_in_it() -> None:
    """And says so: cards that had little to do are quicker or slower than busy ones, nobody knows which."""
    calls, before = documents(300, seed=1), await run_of(documents(300, seed=1)[:20])
    found, truth = reckoned(calls, [before]), await fleet_seconds(calls)
    assert found.by is not None
    assert found.by.seconds.low <= truth <= found.by.seconds.high
    assert any("too small" in remark for remark in found.remarks)


async def test_half_the_slots_take_twice_the_time() -> None:
    """What the model's workers took at a time then is held against what they take now, and said."""
    before = await run_of(documents(128, seed=2))
    whole, half = (reckoned(documents(640, seed=3), [before], slots=slots) for slots in (64, 32))
    assert whole.by is not None
    assert half.by is not None
    assert half.by.seconds.low == pytest.approx(2 * whole.by.seconds.low)
    assert any("64 calls at a time then" in remark for remark in half.remarks)


async def test_the_same_task_goes_before_others_and_others_are_named() -> None:
    calls = documents(128, seed=5)
    same, other = await run_of(calls), await run_of(calls, task="classify")
    found, by_other = reckoned(calls, [other, same]), reckoned(calls, [other])
    assert found.by is not None
    assert [run.task for run in found.by.runs] == ["summarize"]
    assert any("reckoned by others" in remark for remark in by_other.remarks)


def test_without_a_run_hours_are_not_known_and_it_says_how_to_get_one() -> None:
    """Counts are there all the same; no number is made up."""
    found = reckoned([(500, 100)], [])
    told = found.as_json
    assert (told["seconds"], told["energy_j"], told["cost"], told["output_tokens"]) == (None, None, None, None)
    assert told["output_tokens_at_most"] == 256
    assert any("--sample" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (AnalysisTask.SUMMARIZE, TaskOptions()),
        (AnalysisTask.ASK, TaskOptions(question="Who signed the lease?")),
        (AnalysisTask.CLASSIFY, TaskOptions(labels=(Label(name="bill", description="it asks for money"),) * 2)),
    ],
)
def test_an_engine_that_picks_sentences_is_not_reckoned_to_read_instructions(
    task: AnalysisTask, options: TaskOptions
) -> None:
    """What it counts itself is title and text, and the question or the labels."""
    found = Survey(documents=2, pages=2, passage_tokens=2 * 5, parts=Counter({1: 2}))
    step = StepInput(task=task, options=options, title="Lease", text="We pay each month.")
    taken = 2 * sum(ROOM.count(text) for text in texts_of(step))
    shared: dict[str, Any] = {
        "model": "m",
        "engine": "e",
        "slots": 1,
        "room": ROOM,
        "task": task,
        "options": options,
        "runs": (),
    }
    told = estimate(found, **shared, prompted=False)
    assert told.work.prompt_tokens.low == taken
    assert estimate(found, **shared).work.prompt_tokens.low > taken


@pytest.mark.parametrize(
    ("tokenizer", "cannot", "notice", "rough"),
    [
        ("wordllama", (), "", True),
        ("", (), "", True),
        ("/nowhere", (), "", False),
        ("wordllama", ("chat",), "Preview: picked.", False),
        ("wordllama", (), "Simulated.", False),
    ],
)
def test_counts_by_another_tokenizer_are_said_to_be_rough(
    tokenizer: str, cannot: tuple[str, ...], notice: str, rough: bool
) -> None:
    """Of a model that came without its own; simulated ones count by that one themselves."""
    card = WorkerCard(
        name="gpu0@here", incarnation="1", host="here", pid=1, engine="llama.cpp", model="m", slots=1,
        context_tokens=4096, tokenizer=tokenizer, cannot=cannot, notice=notice,
    )  # fmt: skip
    said = remarks_on(card, at_hand(card))
    assert any("rough" in one for one in said) is rough
    assert any("not on this computer" in one for one in said) is (tokenizer == "/nowhere")
    assert is_prompted(card) is not bool(cannot)


async def test_energy_follows_the_work_and_is_unknown_where_it_was_not_measured() -> None:
    calls = documents(128, seed=5)
    run = await run_of(calls)
    found = reckoned([*calls, *calls], [run])
    assert found.by is not None
    assert found.by.energy_j is not None
    assert found.by.energy_j.low == pytest.approx(2000, rel=0.01)
    unknown = reckoned(calls, [run.model_copy(update={"energy_j": None})])
    assert unknown.as_json["energy_j"] is None


async def test_files_are_read_and_cut_as_the_readers_would_and_bad_ones_counted_by_their_reason(tmp_path: Path) -> None:
    """Pages without text are counted; nothing of a text is kept."""
    (tmp_path / "long.txt").write_text("Some words stand here for a while. " * 300)
    (tmp_path / "short.txt").write_text("A short one.")
    (tmp_path / "scan.pdf").write_bytes(make_pdf(["The first page has words.", "", ""]))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "marks.txt").write_text("* * *\n" * 50)
    heard: list[int] = []
    files = [FileDocument(path, name=path.name) for path in sorted(tmp_path.iterdir())]
    found = await survey(files, room=ROOM, limits=Limits(), on_file=heard.append)
    assert (found.files, found.documents, found.pages, found.pages_without_text) == (5, 3, 5, 2)
    assert found.unreadable == {"empty": 2}
    assert found.parts == {1: 2, 5: 1}
    assert found.passage_tokens >= 2100 + 3 + 5
    assert heard == [1, 2, 3, 4, 5]


def test_the_bound_by_sizes_is_never_under_what_is_read() -> None:
    """A byte is at most a token, and a file at least one part."""
    bound = at_most([0, 10, 5000], passage_tokens=500)
    assert (bound.documents, bound.passage_tokens) == (3, 5011)
    assert bound.parts == {1: 2, 10: 1}


async def test_little_energy_is_told_in_watt_hours() -> None:
    """A pilot's is thousandths of a kilowatt-hour, which would read as none."""
    calls = documents(128, seed=5)
    found = reckoned(calls, [await run_of(calls)])
    assert found.by is not None
    assert found.by.energy_j is not None
    assert energy_words(found.by.energy_j) == "0.278 Wh"
