"""A recipe of one's own, as the engines page tells how to write one: read, started, asked, ended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from viiwork.processes import tagged
from viiwork.settings import EngineSection, FleetSection, Settings
from viiwork.work import ChatInput, Message
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(r"```toml\n(# my-engine.*?)```", re.DOTALL)
SERVER = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.fakes.openai_server import main
sys.exit(main())
"""
"""Stands for the server that a newcomer has: the fake one, as a file beside the recipe."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The page's example in a folder of its own, and a server beside it."""
    found = EXAMPLE.search((ROOT / "docs/engines.md").read_text(encoding="utf-8"))
    assert found
    (tmp_path / "my-engine.toml").write_text(found[1])
    (tmp_path / "my_server.py").write_text(SERVER)
    engine = EngineSection(kind=str(tmp_path / "my-engine.toml"))
    return Settings(engine=engine, fleet=FleetSection(state_dir=tmp_path / "state"))


async def test_the_example_of_the_engines_page_starts_answers_and_ends(settings: Settings) -> None:
    """Nothing of it is left behind."""
    engine = make_engine(settings, card="cpu0")
    assert (engine.facts.name, engine.facts.model, engine.facts.slots) == ("My engine", "my-engine", 8)
    await engine.load()
    try:
        await engine.until_ready()
        answer = await engine.run(ChatInput(messages=(Message(role="user", content="What is a lease?"),)))
        assert answer.text
        assert answer.usage is not None
    finally:
        await engine.close()
    assert tagged(ENGINE_OF, GuardFiles.of(settings.state_dir, "cpu0").mark) == []
