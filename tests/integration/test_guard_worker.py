"""A real worker whose engine a guard keeps: it joins while the engine loads, and its next life serves with the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.launching import ALIAS, engine_section
from tests.workers import Fleet, eventually, make_job
from viiwork.jobs import TERMINAL, State
from viiwork.processes import identity, tagged
from viiwork.roster import WorkerCard
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles
from viiwork_workers.engines.guard.record import read_record


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a fake vLLM for an engine."""
    told = engine_section(tmp_path, "vllm")
    engine = settings.engine.model_validate(settings.engine.model_dump() | told)
    return settings.model_copy(update={"engine": engine})


@pytest.fixture
async def files(fleet: Fleet) -> AsyncIterator[GuardFiles]:
    """Where the guard of `cpu0` keeps its things. What a worker that was killed left behind is ended at the end."""
    found = GuardFiles.of(fleet.settings.state_dir, "cpu0")
    yield found
    fleet.close()
    assert tagged(ENGINE_OF, found.mark) == []
    assert read_record(found) is None


async def card(store: Store, *, state: str, but: int = 0) -> WorkerCard:
    """The card of the worker whose engine stands so, and that is not the process `but`."""
    seen: list[WorkerCard] = []

    async def stands() -> bool:
        now = [at.card for at in (await store.fleet()).workers if at.card.pid != but]
        seen[:] = [card for card in now if card.engine_state.startswith(state)]
        return bool(seen)

    await eventually(stands, what=f"an engine that is {state}")
    return seen[0]


async def serves(store: Store) -> bool:
    job = make_job(model=ALIAS)
    await store.submit([job])

    async def ended() -> bool:
        return (await store.job(job.id)).state in TERMINAL

    await eventually(ended, what="the job has ended")
    return (await store.job(job.id)).state is State.SUCCEEDED


async def test_a_killed_worker_finds_its_engine_again(
    fleet: Fleet, files: GuardFiles, real_store: Store, settings: Settings
) -> None:
    """The model is not loaded a second time."""
    fleet.start("cpu0")
    first = await card(real_store, state="ready")
    assert await serves(real_store)
    fleet.kill("cpu0")
    fleet.start("cpu0")
    second = await card(real_store, state="ready", but=first.pid)
    assert second.engine_pid == first.engine_pid != 0
    assert await serves(real_store)


async def test_a_worker_that_leaves_takes_its_engine_with_it(
    fleet: Fleet, files: GuardFiles, real_store: Store
) -> None:
    fleet.start("cpu0")
    here = await card(real_store, state="ready")
    assert fleet.stop("cpu0") == 0
    assert identity(here.engine_pid) is None


async def test_it_joins_while_its_engine_loads_and_takes_nothing(
    fleet: Fleet, files: GuardFiles, real_store: Store, tmp_path: Path
) -> None:
    told = engine_section(tmp_path, "vllm", flags=("--load-s", "600"))
    engine = fleet.settings.engine.model_validate(fleet.settings.engine.model_dump() | told)
    fleet.start("cpu0", settings=fleet.settings.model_copy(update={"engine": engine}))
    loading = await card(real_store, state="loading (")
    assert loading.limit == 0
    assert fleet.stop("cpu0") == 0
