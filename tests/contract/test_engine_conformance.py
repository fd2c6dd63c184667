"""What every engine promises, whichever it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from viiwork.errors import EngineFault, JobRefused
from viiwork.jobs import MODEL_PATTERN
from viiwork.settings import EngineSection, Settings
from viiwork.work import AnalysisTask, Answer, ChatInput, Label, Message, StepInput, TaskOptions
from viiwork_workers.engines.base import Engine
from viiwork_workers.engines.choose import make_engine

LETTER = (
    "Dear Ms Novak,\n\nWe confirm that your lease of the flat at 12 Mill Lane ends on 30 June 2026. The deposit of "
    "1,850 euros is returned within thirty days after the keys are handed over. Please leave the meter readings with "
    "the caretaker. If you wish to stay longer, write to us before the end of April.\n\nYours sincerely,\nP. Adams"
)
LABELS = (Label(name="letter", description="a letter to a person"), Label(name="invoice", description="a bill to pay"))
TASKS = {
    AnalysisTask.SUMMARIZE: TaskOptions(max_output_tokens=120),
    AnalysisTask.CLASSIFY: TaskOptions(labels=LABELS),
    AnalysisTask.ASK: TaskOptions(question="When does the lease end?"),
}
CHAT = ChatInput(messages=(Message(role="user", content="Write a poem about meters."),), max_output_tokens=40)
GARBAGE = {
    "binary": "".join(chr(code) for code in range(1, 256)) * 20,
    "one endless word": "x" * 60_000,
    "no sentence at all": ") ( * & % 5 ^ \u200b \u202e" * 500,
    "emoji": "🙂👩‍👩‍👧‍👦" * 2_000,
    "one letter": "a",
    "lone surrogate": "a \ud800 b. It goes on after that.",
    "line ends only": "\r\n\r\na\r\n" * 500,
    "other script": "これは契約書です。甲は乙に対して支払う。" * 50,
}


@dataclass(frozen=True)
class Case:
    """One engine, and what it refuses."""

    settings: EngineSection
    refused: tuple[ChatInput | StepInput, ...] = ()
    counts_tokens: bool = True


def step(
    text: str = LETTER, *, task: AnalysisTask = AnalysisTask.SUMMARIZE, options: TaskOptions | None = None
) -> StepInput:
    return StepInput(task=task, options=TASKS[task] if options is None else options, title="A letter", text=text)


INCOMPLETE = (
    step("a \ud800 b. It goes on."),
    step("  \n "),
    step(task=AnalysisTask.CLASSIFY, options=TaskOptions()),
    step(task=AnalysisTask.ASK, options=TaskOptions(question=" ")),
)
CASES = {
    "extractive": Case(EngineSection(kind="extractive"), refused=(*INCOMPLETE, CHAT, step("word " * 300_000))),
    "simulated": Case(EngineSection(kind="simulated", time_scale=0.001), refused=(*INCOMPLETE, step("word " * 9_000))),
    "process": Case(
        EngineSection(kind="simulated", time_scale=0.001, process=True), refused=(*INCOMPLETE, step("word " * 9_000))
    ),
    "noop": Case(EngineSection(kind="noop"), counts_tokens=False),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
async def engine(case: Case) -> AsyncIterator[Engine]:
    made = make_engine(Settings(engine=case.settings), card="gpu0")
    await made.load()
    yield made
    await made.close()


async def test_its_facts_can_be_told_to_the_fleet(engine: Engine) -> None:
    """Name, alias, slots, context and a notice that it is no language model."""
    assert engine.facts.name
    assert engine.facts.slots >= 1
    assert engine.facts.context_tokens >= 1024
    assert engine.facts.tokenizer == "wordllama"
    assert engine.facts.notice
    assert re.match(MODEL_PATTERN, engine.facts.model)


@pytest.mark.parametrize("task", list(TASKS))
async def test_every_task_is_answered_in_full(engine: Engine, case: Case, task: AnalysisTask) -> None:
    """Text, who answered, the notice, and the tokens it took."""
    answer = await engine.run(step(task=task))
    assert answer.text.strip()
    assert (answer.engine, answer.model, answer.notice) == (engine.facts.name, engine.facts.model, engine.facts.notice)
    if case.counts_tokens:
        assert answer.usage.prompt_tokens > 80
        assert 0 < answer.usage.output_tokens <= 256


async def test_a_class_comes_with_scores_that_sum_to_one(engine: Engine, case: Case) -> None:
    """And the label is the one that scores highest."""
    answer = await engine.run(step(task=AnalysisTask.CLASSIFY))
    if case.counts_tokens:
        assert answer.label in {"letter", "invoice"}
        assert sum(answer.scores.values()) == pytest.approx(1.0, abs=0.01)
        assert answer.confidence == max(answer.scores.values()) == answer.scores[answer.label]


async def test_the_same_work_gives_the_same_answer(engine: Engine) -> None:
    """A retry on another card must not change what the document says."""
    assert await engine.run(step()) == await engine.run(step())


async def test_the_output_limit_holds(engine: Engine) -> None:
    """A reader who asks for 30 tokens does not get 60."""
    answer = await engine.run(step(options=TaskOptions(max_output_tokens=30)))
    assert answer.usage.output_tokens <= 30


async def test_as_many_jobs_as_it_has_slots_run_together(engine: Engine) -> None:
    """Each gets its own answer."""
    works = [step(LETTER.replace("12 Mill Lane", f"{number} Mill Lane")) for number in range(engine.facts.slots)]
    together = await asyncio.gather(*(engine.run(work) for work in works))
    assert together == [await engine.run(work) for work in works]


async def test_cancelling_frees_the_slots(engine: Engine) -> None:
    """After every slot was cancelled mid-way, a full set of jobs is answered again."""
    tasks = [asyncio.create_task(engine.run(step(LETTER * 30))) for _ in range(engine.facts.slots)]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    answers = await asyncio.gather(*(engine.run(step()) for _ in range(engine.facts.slots)))
    assert all(answer.text for answer in answers)


async def test_the_loop_goes_on_while_it_works(engine: Engine) -> None:
    """Beats and hints must not wait for an engine."""
    ticks = 0
    work = asyncio.create_task(engine.run(step(LETTER * 60)))
    while not work.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert (await work).text
    assert ticks >= 1


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("task", list(TASKS))
async def test_garbage_is_answered_or_refused_but_never_breaks_it(
    engine: Engine, kind: str, task: AnalysisTask
) -> None:
    """And the next job is answered as if nothing had been."""
    try:
        assert (await engine.run(step(GARBAGE[kind], task=task))).text
    except JobRefused as refused:
        assert refused.code
        assert refused.hint
    assert (await engine.run(step())).text


async def test_what_it_cannot_do_is_refused_with_what_to_do(engine: Engine, case: Case) -> None:
    """A refusal is the job's own fault: not retryable, with a code and a hint, and it quotes no text."""
    for work in case.refused:
        with pytest.raises(JobRefused) as refused:
            await engine.run(work)
        assert refused.value.code != "job_refused"
        assert refused.value.hint
        assert not refused.value.retryable
        assert "Mill Lane" not in str(refused.value)


async def test_it_can_be_closed_twice_and_then_runs_nothing(engine: Engine, case: Case) -> None:
    """Work after the end is the engine's fault, so that another worker takes it."""
    await engine.close()
    await engine.close()
    if case.counts_tokens:
        with pytest.raises(EngineFault):
            await engine.run(step())


async def test_work_in_flight_when_it_closes_ends(engine: Engine) -> None:
    """With an answer or with EngineFault, never with silence."""
    running = asyncio.create_task(engine.run(step(LETTER * 30)))
    await asyncio.sleep(0)
    await engine.close()
    ended = (await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), timeout=30))[0]
    assert isinstance(ended, EngineFault | Answer)
