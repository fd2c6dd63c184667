"""A real worker whose engine cannot start: quarantined with the reason, over its restarts, until a person lifts it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers import ROOT, Fleet, eventually, make_job
from viiwork.jobs import State
from viiwork.processes import end, tagged
from viiwork.roster import WorkerStatus
from viiwork.settings import EngineSection, Settings
from viiwork.store import Store
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles

NAME = f"cpu0@{socket.gethostname()}"
SERVER = f"""import pathlib, sys
if (pathlib.Path(__file__).parent / "broken").exists():
    sys.exit("server.py: error: unrecognized arguments: --zebra")
sys.path.insert(0, {str(ROOT)!r})
from tests.fakes.openai_server import main
sys.exit(main())
"""
RECIPE = """
title = "Fragile"
command = ["{python}", "server.py", "--port", "{port}", "--model", "{alias}"]
model_is = "anything"
"""


@pytest.fixture
def fragile(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """An engine whose options are wrong as long as there is a file `broken` beside it."""
    (tmp_path / "broken").touch()
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "fragile.toml").write_text(RECIPE.replace("server.py", str(tmp_path / "server.py")))
    engine = EngineSection(kind=str(tmp_path / "fragile.toml"), alias="fragile", keep_s=30)
    yield settings.model_copy(update={"engine": engine})
    end(tagged(ENGINE_OF, GuardFiles.of(settings.state_dir, "cpu0").mark), grace_s=5)


async def found(store: Store) -> WorkerStatus | None:
    """The worker's last life."""
    lives = [worker for worker in (await store.fleet()).workers if worker.card.name == NAME]
    return min(lives, key=lambda worker: worker.beat_age_ms, default=None)


async def test_a_worker_whose_engine_was_given_up_works_again_once_that_is_lifted(
    fleet: Fleet, fragile: Settings, real_store: Store, tmp_path: Path
) -> None:
    """Its only one: what comes meanwhile waits, and is answered."""

    async def put_away() -> bool:
        return NAME in await real_store.quarantined()

    async def told_and_idle() -> bool:
        worker = await found(real_store)
        this_life = worker is not None and worker.card.pid == fleet.processes["cpu0"].pid
        return worker is not None and this_life and bool(worker.quarantine) and worker.card.limit == 0

    async def may_work() -> bool:
        worker = await found(real_store)
        return worker is not None and not worker.quarantine and bool(worker.card.limit)

    async def done() -> bool:
        return (await real_store.job(job.id)).state is State.SUCCEEDED

    fleet.start("cpu0", settings=fragile)
    await eventually(put_away)
    await eventually(told_and_idle)
    why = (await real_store.quarantined())[NAME]
    assert why.startswith("The engine does not know one of its options")
    assert "zebra" not in why, "its log is not quoted"
    job = make_job(model="fragile")
    await real_store.submit([job])

    fleet.kill("cpu0")
    (tmp_path / "broken").unlink()
    fleet.start("cpu0", settings=fragile)
    await eventually(told_and_idle)
    assert (await real_store.job(job.id)).state in (State.WAITING, State.QUEUED)

    assert await real_store.lift_quarantine(NAME) == [NAME]
    await eventually(may_work)
    await eventually(done)
    assert fleet.stop("cpu0") == 0
    assert tagged(ENGINE_OF, GuardFiles.of(fragile.state_dir, "cpu0").mark) == []
