"""The simulated card takes the time and the memory that the published figures say."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.errors import EngineFault
from viiwork.work import Answer, ChatInput, Message
from viiwork_workers.engines.simulated.card_model import GIB, MISTRAL_7B, CardModel
from viiwork_workers.engines.simulated.engine import SimulatedEngine
from virtual_clock import run_jumping

QWEN_8B_AWQ = CardModel(
    alias="qwen3-vl-8b-awq",
    parameters=8.2e9,
    weights_bytes=6.95e9 * 0.5195 + 2 * 151_936 * 4096 * 2,
    read_bytes=6.95e9 * 0.5195 + 151_936 * 4096 * 2,
    kv_bytes_per_token=2 * 36 * 8 * 128 * 2,
    activation_bytes=0.6 * GIB,
    context_tokens=32_768,
)
PUBLISHED = [(1, 0, 74.5), (4, 0, 197), (1, 4096, 55), (4, 4096, 116), (1, 8192, 42), (4, 8192, 81)]
"""Requests in flight, context of each, tokens/s: Qwen3-VL-8B AWQ on one MI50 under vLLM 0.11."""


def chat(words: int, *, limit: int = 100) -> ChatInput:
    return ChatInput(messages=(Message(role="user", content="word " * words),), max_output_tokens=limit)


def made(*, slots: int = 16, time_scale: float = 1.0, card: CardModel = MISTRAL_7B) -> SimulatedEngine:
    return SimulatedEngine(model=card.alias, slots=slots, time_scale=time_scale, card=card)


async def timed(engine: SimulatedEngine, *works: ChatInput) -> tuple[float, list[Answer]]:
    """Seconds on the loop's clock until all are answered."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    answers = await asyncio.gather(*(engine.run(work) for work in works))
    return loop.time() - begun, answers


@pytest.mark.parametrize(("batch", "context", "tokens_per_s"), PUBLISHED)
def test_decoding_is_as_fast_as_published(batch: int, context: int, tokens_per_s: float) -> None:
    """Within 8 % of every row but one, which is 15 % too fast."""
    step_s = QWEN_8B_AWQ.decode_s(steps=1, batch=batch, held_tokens=batch * context)
    assert batch / step_s == pytest.approx(tokens_per_s, rel=0.16 if (batch, context) == (1, 8192) else 0.08)


def test_prefill_is_as_fast_as_published() -> None:
    """647 tokens/s at 8,192 tokens."""
    assert 8192 / QWEN_8B_AWQ.prefill_s(8192) == pytest.approx(647, rel=0.01)


def test_mistral_int4_leaves_room_for_the_published_number_of_tokens() -> None:
    """3.9 GiB of weights and about 75,000 tokens on one card; it loads in about 20 s."""
    assert MISTRAL_7B.weights_bytes / GIB == pytest.approx(3.9, abs=0.05)
    assert MISTRAL_7B.kv_tokens == pytest.approx(75_000, rel=0.07)
    assert MISTRAL_7B.load_s == pytest.approx(20, abs=1)


@given(st.integers(1, 500), st.integers(1, 32), st.integers(0, 60_000))
def test_steps_and_seconds_are_each_others_inverse(steps: int, batch: int, held: int) -> None:
    """A stretch that is cut short books the steps that ran and no other."""
    seconds = MISTRAL_7B.decode_s(steps=steps, batch=batch, held_tokens=held)
    assert MISTRAL_7B.steps_in(seconds * (1 + 1e-9), batch=batch, held_tokens=held) == steps
    assert MISTRAL_7B.steps_in(seconds * 0.999999, batch=batch, held_tokens=held) == steps - 1


@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 32), st.integers(0, 60_000))
def test_two_stretches_take_as_long_as_one(first: int, second: int, batch: int, held: int) -> None:
    """Cutting a stretch adds no time and loses none."""
    parts = MISTRAL_7B.decode_s(steps=first, batch=batch, held_tokens=held) + MISTRAL_7B.decode_s(
        steps=second, batch=batch, held_tokens=held + first * batch
    )
    assert parts == pytest.approx(MISTRAL_7B.decode_s(steps=first + second, batch=batch, held_tokens=held))


def test_a_job_alone_takes_its_prefill_and_its_steps() -> None:
    """And loading takes as long as the weights, all scaled alike."""

    async def scene() -> None:
        engine = made(time_scale=0.1)
        begun = asyncio.get_running_loop().time()
        await engine.load()
        assert asyncio.get_running_loop().time() - begun == pytest.approx(0.1 * MISTRAL_7B.load_s)
        seconds, (answer,) = await timed(engine, chat(500))
        prompt, output = answer.usage.prompt_tokens, answer.usage.output_tokens
        alone = MISTRAL_7B.prefill_s(prompt) + MISTRAL_7B.decode_s(steps=output, batch=1, held_tokens=prompt)
        assert seconds == pytest.approx(0.1 * alone)
        await engine.close()

    run_jumping(scene)


def test_jobs_in_flight_share_the_steps_of_the_card() -> None:
    """Sixteen at once take far less than sixteen times one: that is what slots are for."""

    async def scene() -> None:
        engine = made()
        await engine.load()
        alone, _ = await timed(engine, chat(20, limit=40))
        together, _ = await timed(engine, *[chat(20, limit=40)] * 16)
        assert 2 * alone < together < 8 * alone
        await engine.close()

    run_jumping(scene)


def test_more_jobs_than_slots_wait_their_turn() -> None:
    """First come, first served."""

    async def scene() -> None:
        engine = made(slots=1)
        await engine.load()
        alone, _ = await timed(engine, chat(20, limit=40))
        three, _ = await timed(engine, *[chat(20, limit=40)] * 3)
        assert three == pytest.approx(3 * alone)
        await engine.close()

    run_jumping(scene)


def test_jobs_wait_inside_while_the_memory_is_full() -> None:
    """Room for one request only: two run one after the other although there are slots."""

    async def scene() -> None:
        free = MISTRAL_7B.weights_bytes + (MISTRAL_7B.kv_tokens - 900) * MISTRAL_7B.kv_bytes_per_token
        engine = made(card=replace(MISTRAL_7B, weights_bytes=free))
        await engine.load()
        alone, _ = await timed(engine, chat(500, limit=40))
        both, _ = await timed(engine, chat(500, limit=40), chat(500, limit=40))
        assert both == pytest.approx(2 * alone)
        await engine.close()

    run_jumping(scene)


def test_a_cancelled_job_leaves_its_room_at_once() -> None:
    """The next one does not wait for what the cancelled one had still to write."""

    async def scene() -> None:
        engine = made(slots=1)
        await engine.load()
        alone, _ = await timed(engine, chat(20, limit=40))
        long = asyncio.create_task(engine.run(chat(20, limit=239)))
        await asyncio.sleep(0.3)
        long.cancel()
        after, _ = await timed(engine, chat(20, limit=40))
        assert after < 1.2 * alone
        await engine.close()

    run_jumping(scene)


def test_a_job_that_arrives_late_joins_the_others() -> None:
    """It does not wait until those in flight are done."""

    async def scene() -> None:
        engine = made()
        await engine.load()
        first = asyncio.create_task(engine.run(chat(4_000, limit=240)))
        await asyncio.sleep(6.0)
        late, _ = await timed(engine, chat(3, limit=5))
        assert late < 0.5
        assert not first.done()
        assert (await first).usage.output_tokens >= 40
        await engine.close()

    run_jumping(scene)


def test_closing_ends_what_is_in_flight_as_the_engines_fault() -> None:
    """So that another worker takes it."""

    async def scene() -> None:
        engine = made()
        await engine.load()
        running = [asyncio.create_task(engine.run(chat(20))) for _ in range(20)]
        await asyncio.sleep(0.01)
        await engine.close()
        ended = await asyncio.gather(*running, return_exceptions=True)
        assert all(isinstance(end, EngineFault) for end in ended)

    run_jumping(scene)


def test_its_answers_say_that_no_model_ran() -> None:
    """In the text and in the notice; two different prompts give two different texts."""

    async def scene() -> None:
        engine = made()
        await engine.load()
        _, (one, other) = await timed(engine, chat(20), chat(21))
        assert one.text.startswith("[simulated]")
        assert one.text != other.text
        assert "no model ran" in one.notice
        await engine.close()

    run_jumping(scene)
