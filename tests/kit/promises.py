"""What every engine promises, whichever it is. One engine, loaded once, serves all of a suite's tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kit.case import Case, case, in_flight
from tests.kit.works import EMBEDDING, GARBAGE, LETTER, TASKS, chat, step, work_of
from tests.workers import eventually
from viiwork.abilities import UNABLE, Ability
from viiwork.errors import JobRefused
from viiwork.jobs import MODEL_PATTERN
from viiwork.work import AnalysisTask, TaskOptions
from viiwork_workers.engines.base import Engine, signed

__all__ = ["Promises", "case", "engine"]
NOTHING_IN_FLIGHT_WITHIN_S = 1.0
TRIES = 4
"""A machine that stood still for a second is not the engine's fault; it does so once, and not every time."""


async def free_soon(engine: Engine) -> bool:
    """Whether nothing is in flight any more, by a server's own count."""

    async def free() -> bool:
        return not await in_flight(engine)

    try:
        await eventually(free, within_s=NOTHING_IN_FLIGHT_WITHIN_S)
    except AssertionError:
        return False
    return True


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def engine(case: Case, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """Loaded once for a class of tests."""
    async with case.loaded(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.mark.asyncio(loop_scope="class")
class Promises:
    """Of every engine."""

    async def test_its_facts_can_be_told_to_the_fleet(self, engine: Engine, case: Case) -> None:
        """Name, alias, slots, context, a tokenizer where it is known, and a notice if it is no language model."""
        assert engine.facts.name
        assert engine.facts.slots >= 1
        assert engine.facts.context_tokens >= 1024
        assert engine.facts.tokenizer or not case.notice
        assert bool(engine.facts.notice) is case.notice
        assert re.match(MODEL_PATTERN, engine.facts.model)

    async def test_it_tells_its_version_and_its_model_to_whoever_repeats_an_answer(
        self, engine: Engine, case: Case
    ) -> None:
        """With each answer; a built-in engine has no model's files."""
        answer = signed(await engine.run(step()), engine.facts, engine.signals())
        assert bool(answer.engine_version) is case.versioned
        assert bool(answer.revision) is not case.notice

    @pytest.mark.parametrize("task", list(TASKS))
    async def test_every_task_is_answered_in_full(self, engine: Engine, case: Case, task: AnalysisTask) -> None:
        """Text, who answered, the notice, and the tokens it took."""
        answer = await engine.run(step(task=task))
        facts = engine.facts
        assert answer.text.strip()
        assert (answer.engine, answer.model, answer.notice) == (facts.name, facts.model, facts.notice)
        if case.counts_tokens:
            assert answer.usage.prompt_tokens > 80
            assert 0 < answer.usage.output_tokens <= 256

    async def test_a_class_is_one_of_the_labels_or_none(self, engine: Engine, case: Case) -> None:
        """Where it comes with scores, they sum to one and the label is the one that scores highest."""
        answer = await engine.run(step(task=AnalysisTask.CLASSIFY))
        assert answer.label in {"letter", "invoice", None}
        if case.scores:
            assert sum(answer.scores.values()) == pytest.approx(1.0, abs=0.01)
            assert answer.confidence == max(answer.scores.values()) == answer.scores[answer.label or ""]

    async def test_the_same_work_gives_the_same_answer(self, engine: Engine, case: Case) -> None:
        """A retry on another card must not change what the document says."""
        first, again = await engine.run(step()), await engine.run(step())
        assert first == again or not case.repeats

    async def test_the_output_limit_holds(self, engine: Engine) -> None:
        """A reader who asks for 30 tokens does not get 60."""
        answer = await engine.run(step(options=TaskOptions(max_output_tokens=30)))
        assert answer.usage.output_tokens <= 30

    async def test_as_many_jobs_as_it_has_slots_run_together(self, engine: Engine, case: Case) -> None:
        """Each gets its own answer."""
        works = [step(LETTER.replace("12 Mill Lane", f"{number} Mill Lane")) for number in range(engine.facts.slots)]
        together = await asyncio.gather(*(engine.run(work) for work in works))
        alone = [await engine.run(work) for work in works] if case.repeats else together
        assert together == alone
        assert all(answer.text for answer in together)

    async def test_cancelling_frees_the_slots(self, engine: Engine, case: Case) -> None:
        """By a server's own count within a second; and a full set of jobs is answered again."""
        work = chat(tokens=1_000) if case.writes else step(LETTER * 30)
        for left in reversed(range(TRIES)):
            tasks = [asyncio.create_task(engine.run(work)) for _ in range(engine.facts.slots)]
            await asyncio.sleep(0.05 if case.writes else 0.005)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if await free_soon(engine):
                break
            assert left, "cancelled requests do not leave the server"
        answers = await asyncio.gather(*(engine.run(step()) for _ in range(engine.facts.slots)))
        assert all(answer.text for answer in answers)

    async def test_the_loop_goes_on_while_it_works(self, engine: Engine) -> None:
        """Beats and hints must not wait for an engine."""
        ticks = 0
        work = asyncio.create_task(engine.run(step(LETTER * 10)))
        while not work.done():
            await asyncio.sleep(0.001)
            ticks += 1
        assert (await work).text
        assert ticks >= 1

    @pytest.mark.parametrize("kind", GARBAGE)
    @pytest.mark.parametrize("task", list(TASKS))
    async def test_garbage_is_answered_or_refused_but_never_breaks_it(
        self, engine: Engine, kind: str, task: AnalysisTask
    ) -> None:
        """And the next job is answered as if nothing had been."""
        try:
            assert (await engine.run(step(GARBAGE[kind], task=task))).text
        except JobRefused as refused:
            assert refused.code
            assert refused.hint
        assert (await engine.run(step())).text

    async def test_what_it_cannot_do_is_refused_with_what_to_do(self, engine: Engine, case: Case) -> None:
        """A refusal is the job's own fault: not retryable, with a code and a hint, and it quotes no text."""
        for work in case.refused:
            with pytest.raises(JobRefused) as refused:
                await engine.run(work)
            assert refused.value.code != "job_refused"
            assert refused.value.hint
            assert not refused.value.retryable
            assert "Mill Lane" not in str(refused.value)

    async def test_what_its_facts_say_it_cannot_do_it_refuses_and_nothing_else(self, engine: Engine) -> None:
        """Who takes work in goes by the facts alone: what it refused without need would be lost to the sender."""
        for ability in sorted(engine.facts.cannot):
            with pytest.raises(JobRefused) as refused:
                await engine.run(work_of(ability))
            assert refused.value.code == UNABLE
            assert refused.value.hint
        for ability in sorted({*TASKS} - engine.facts.cannot):
            assert (await engine.run(work_of(Ability(ability)))).text

    async def test_texts_become_vectors_or_are_refused(self, engine: Engine, case: Case) -> None:
        """One vector a text, all of one length; or a refusal that says what to do."""
        if not case.counts_tokens:
            pytest.skip("it does nothing")
        if case.embeds:
            vectors = (await engine.run(EMBEDDING)).embeddings
            assert len(vectors) == len(EMBEDDING.texts)
            assert len({len(one) for one in vectors}) == 1
            assert vectors[0] != vectors[1]
            return
        with pytest.raises(JobRefused) as refused:
            await engine.run(EMBEDDING)
        assert refused.value.hint
