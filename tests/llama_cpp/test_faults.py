"""What a real llama-server does when its model is broken, or nobody wants its answer any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.kit.case import Case, in_flight, keeper_of
from tests.kit.works import chat
from tests.llama_cpp.conftest import MODEL
from tests.llama_cpp.tiny import engine_section, environ
from tests.workers import eventually
from viiwork_workers.engines.base import Engine

LONG = chat().model_copy(update={"max_output_tokens": 1900})


async def tokens_written(engine: Engine) -> float:
    """By the server's own count, asked for now."""
    phase = keeper_of(engine).phase
    headers = {"authorization": f"Bearer {phase.key}"}
    async with httpx.AsyncClient(trust_env=False, headers=headers, base_url=phase.url) as client:
        page = (await client.get("/metrics")).text
    (count,) = [line.split()[1] for line in page.splitlines() if line.startswith("llamacpp:tokens_predicted_total ")]
    return float(count)


async def test_a_model_that_is_not_whole_is_given_up_with_what_to_do(tmp_path: Path) -> None:
    """Started again it would end the same way."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(MODEL.read_bytes()[:5_000_000])
    async with Case(engine_section(model=str(cut)), environ=environ()).loading(tmp_path) as engine:

        async def given_up() -> bool:
            signals = engine.signals()
            return signals is not None and bool(signals.failed)

        await eventually(given_up)
        signals = engine.signals()
        assert signals is not None
        assert "broken, or not whole" in signals.failed
        assert str(tmp_path) not in signals.failed


async def test_an_answer_that_nobody_wants_any_more_is_not_written_to_its_end(tmp_path: Path) -> None:
    """A plain request goes on although its connection was closed; so none is sent."""
    async with Case(engine_section(), environ=environ()).loaded(tmp_path) as engine:

        async def begun() -> bool:
            return bool(await in_flight(engine))

        async def free() -> bool:
            return not await in_flight(engine)

        before = await tokens_written(engine)
        unwanted = asyncio.ensure_future(engine.run(LONG))
        await eventually(begun)
        unwanted.cancel()
        await asyncio.gather(unwanted, return_exceptions=True)
        await eventually(free)
        assert await tokens_written(engine) - before < LONG.max_output_tokens
