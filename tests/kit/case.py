"""One engine under test: how to get it, and what it can do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from viiwork.settings import Settings, load_settings
from viiwork.work import EngineWork
from viiwork_workers.engines.base import Engine
from viiwork_workers.engines.choose import make_engine
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.server.engine import ServerEngine

Shaping = Literal["json_schema", "json_object", "regex", "choice"]
WORKER = "cpu0"


@dataclass(frozen=True)
class Case:
    """One engine, what it can do, and what it refuses."""

    engine: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]]
    """The settings' section `engine`, or what makes it given a folder."""
    writes: bool = False
    """It is a language model: it goes on with any text, piece after piece."""
    counts_tokens: bool = True
    repeats: bool = True
    """The same work gives the same answer, whatever else it does."""
    scores: bool = False
    """Its classes come with scores."""
    notice: bool = False
    """It says that it is no language model."""
    versioned: bool = True
    """It has a page, or a package, that tells its version."""
    shapes: frozenset[Shaping] = frozenset()
    embeds: bool = False
    calls_tools: bool = False
    refused: tuple[EngineWork, ...] = ()
    killable: bool = False
    """It has a process of its own."""
    holds: str = ""
    """What in a prompt lets it write some pieces and then nothing more, for whoever is to be killed in the middle."""
    start_s: float = 90.0
    environ: Mapping[str, str] = field(default_factory=dict)

    def settings(self, folder: Path) -> Settings:
        """A fleet of one worker, with its state in `folder`."""
        section = self.engine(folder) if callable(self.engine) else self.engine
        fleet = {"name": "kit", "state_dir": str(folder / "state")}
        return load_settings({"fleet": fleet, "engine": dict(section), "workers": {"cpus": 1}})

    @asynccontextmanager
    async def loaded(self, folder: Path) -> AsyncIterator[Engine]:
        """The engine, ready; ended afterwards."""
        async with self.loading(folder) as engine:
            async with asyncio.timeout(self.start_s):
                await engine.until_ready()
            yield engine

    @asynccontextmanager
    async def loading(self, folder: Path) -> AsyncIterator[Engine]:
        """The engine, which may still load its model."""
        engine = make_engine(self.settings(folder), card=WORKER, environ=os.environ | dict(self.environ))
        await engine.load()
        try:
            yield engine
        finally:
            await engine.close()


def cases(named: Mapping[str, Case]) -> pytest.MarkDecorator:
    """Run a suite on each of these."""
    return pytest.mark.parametrize("case", list(named.values()), ids=list(named), scope="class", indirect=True)


@pytest.fixture(scope="class")
def case(request: pytest.FixtureRequest) -> Case:
    """The one that the suite runs on now."""
    found: Case = request.param
    return found


def keeper_of(engine: Engine) -> FollowedKeeper:
    """Of an engine that is a server."""
    assert isinstance(engine, ServerEngine)
    assert isinstance(engine._keeper, FollowedKeeper)
    return engine._keeper


async def in_flight(engine: Engine) -> int | None:
    """Requests in the server by its own count, asked for now; None for engines that have no such count."""
    if not isinstance(engine, ServerEngine):
        return None
    keeper = keeper_of(engine)
    phase, metrics = keeper.phase, keeper._launch.metrics
    if metrics is None or not metrics.running:
        return None
    headers = {"authorization": f"Bearer {phase.key}"}
    async with httpx.AsyncClient(trust_env=False, headers=headers, base_url=phase.url) as client:
        page = (await client.get(metrics.path)).text
    wanted = (metrics.running, metrics.waiting)
    rows = (line.rpartition(" ") for line in page.splitlines() if line.startswith(wanted))
    return sum(int(float(value)) for name, _, value in rows if name.partition("{")[0] in wanted)
