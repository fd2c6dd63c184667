"""What an engine promises besides when it is a language model."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.kit.case import Case, Shaping
from tests.kit.works import LEASE, LETTER, SHAPES, TOOL, chat, completion, step
from viiwork.documents.merge import combine
from viiwork.documents.provenance import ground
from viiwork.documents.shapes import validator_of
from viiwork.errors import JobRefused
from viiwork.jobs import Lane
from viiwork.work import AnalysisTask, Answer, ChatInput, CompletionInput
from viiwork_workers.engines.base import Engine, Manner

EXTRACTIONS = 6


class Hearing:
    """Somebody who listens while it is written."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    @property
    def manner(self) -> Manner:
        return Manner(lane=Lane.INTERACTIVE, on_text=self.pieces.append)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@pytest.mark.asyncio(loop_scope="class")
class Writing:
    """Of every language model."""

    @pytest.mark.parametrize("work", [chat(), completion()], ids=["chat", "completion"])
    async def test_text_and_usage_are_told(self, engine: Engine, work: ChatInput | CompletionInput) -> None:
        """And why it ended."""
        answer = await engine.run(work)
        assert answer.text.strip()
        assert answer.usage.prompt_tokens > 0
        assert 0 < answer.usage.output_tokens <= work.max_output_tokens
        assert answer.finish_reason in {"stop", "length"}

    @pytest.mark.parametrize("work", [chat(), completion()], ids=["chat", "completion"])
    async def test_what_is_heard_and_the_answer_are_the_same(
        self, engine: Engine, work: ChatInput | CompletionInput
    ) -> None:
        """Piece after piece, with the same usage at the end."""
        hearing = Hearing()
        answer = await engine.run(work, hearing.manner)
        assert hearing.text == answer.text
        assert len(hearing.pieces) > 1
        assert 0 < answer.usage.output_tokens <= work.max_output_tokens
        assert answer.usage.prompt_tokens > 0

    async def test_the_limit_ends_the_text(self, engine: Engine) -> None:
        """With `length` as the reason, and not one token more."""
        answer = await engine.run(chat(tokens=5))
        assert (answer.finish_reason, answer.usage.output_tokens) == ("length", 5)

    async def test_a_prompt_beyond_the_context_is_refused(self, engine: Engine) -> None:
        """As the job's own fault, with what to do about it."""
        with pytest.raises(JobRefused) as refused:
            await engine.run(chat("word " * (engine.facts.context_tokens + 100)))
        assert refused.value.code == "context_length"
        assert refused.value.hint

    async def test_a_stop_word_ends_the_text_before_it(self, engine: Engine, case: Case) -> None:
        """And is not part of it."""
        whole = await engine.run(chat())
        stop = whole.text[len(whole.text) // 2 :][:4]
        answer = await engine.run(chat(stop=(stop,)))
        assert stop not in answer.text
        if case.repeats:
            assert (answer.text, answer.finish_reason) == (whole.text[: whole.text.index(stop)], "stop")

    @pytest.mark.parametrize("work", [chat(logprobs=2), completion(logprobs=2)], ids=["chat", "completion"])
    async def test_probabilities_are_told_or_refused(self, engine: Engine, work: ChatInput | CompletionInput) -> None:
        """Never left out in silence."""
        try:
            answer = await engine.run(work)
        except JobRefused as refused:
            assert refused.code == "unsupported"
        else:
            assert answer.logprobs

    async def test_a_seed_makes_chance_repeatable(self, engine: Engine, case: Case) -> None:
        """The same at the same temperature."""
        work = chat(seed=7).model_copy(update={"temperature": 1.0})
        first, again = await engine.run(work), await engine.run(work)
        assert first.text == again.text or not case.repeats

    @pytest.mark.parametrize("kind", SHAPES)
    async def test_a_shape_is_held_or_refused(self, engine: Engine, case: Case, kind: Shaping) -> None:
        """A model that rambles must not answer a form."""
        work = chat("Who lives at 12 Mill Lane?", tokens=200, shape=SHAPES[kind])
        if kind not in case.shapes:
            with pytest.raises(JobRefused) as refused:
                await engine.run(work)
            assert refused.value.code == "unsupported_shape"
            return
        hearing = Hearing()
        answer = await engine.run(work, hearing.manner)
        assert hearing.text == answer.text
        _HOLDS[kind](answer.text, answer.value)

    async def test_an_answer_that_was_cut_off_is_no_form(self, engine: Engine, case: Case) -> None:
        """And it is said that more tokens would help."""
        if "json_schema" not in case.shapes:
            pytest.skip("it cannot be held to a schema")
        with pytest.raises(JobRefused) as refused:
            await engine.run(chat(tokens=2, shape=SHAPES["json_schema"]))
        assert refused.value.code == "invalid_output"
        assert "max_output_tokens" in refused.value.hint

    async def test_an_extraction_fills_its_schema_or_says_why_not(self, engine: Engine, case: Case) -> None:
        """Each passage has its fields and their quotes, or the reason why it has none."""
        for number in range(EXTRACTIONS):
            work = step(f"{number}. {LETTER}", task=AnalysisTask.EXTRACT, options=LEASE)
            try:
                answer = await engine.run(work)
            except JobRefused as refused:
                assert refused.code == ("invalid_output" if "json_schema" in case.shapes else "unsupported_shape")
                continue
            whole = combine(AnalysisTask.EXTRACT, LEASE, [ground(answer, work.text, ())])
            assert isinstance(whole, Answer)
            assert validator_of(LEASE.json_schema or {}).is_valid(whole.value)
            assert next(iter(whole.value)) == "ends"
            assert all(one.unsupported or one.start is not None for one in whole.evidence)

    async def test_a_tool_that_must_be_called_is(self, engine: Engine, case: Case) -> None:
        """As the OpenAI API has it."""
        if not case.calls_tools:
            pytest.skip("it calls no tools")
        named = {"type": "function", "function": {"name": "look_up"}}
        answer = await engine.run(chat(tokens=200).model_copy(update={"tools": (TOOL,), "tool_choice": named}))
        assert [call["function"]["name"] for call in answer.tool_calls] == ["look_up"]
        json.loads(answer.tool_calls[0]["function"]["arguments"])

    async def test_those_who_wait_are_served(self, engine: Engine) -> None:
        """More requests than slots: each is answered in its turn."""
        works = [chat(f"Number {number}: what now?", tokens=8) for number in range(3 * engine.facts.slots)]
        answers = await asyncio.gather(*(engine.run(work) for work in works))
        assert all(answer.usage.output_tokens for answer in answers)


def _person(text: str, value: object) -> None:
    assert value == json.loads(text)
    assert isinstance(value, dict)
    assert set(value) == {"name", "age"}


def _object(text: str, value: object) -> None:
    assert isinstance(value, dict)


def _pattern(text: str, value: object) -> None:
    assert re.fullmatch(SHAPES["regex"].regex or "", text)


def _choice(text: str, value: object) -> None:
    assert text in SHAPES["choice"].choice


_HOLDS = {"json_schema": _person, "json_object": _object, "regex": _pattern, "choice": _choice}
