"""`viiwork up` waits for engines, not only for their workers."""

from __future__ import annotations

from pathlib import Path

from tests.hands import Hands
from viiwork.fleet.child import Child, ChildState
from viiwork.fleet.plan import ProcessSpec, Role
from viiwork.fleet.readiness import Readiness
from viiwork.settings import load_settings
from viiwork.store import Store


async def _nothing(child: Child, pid: int, returncode: int) -> None:
    """Nobody asks."""


async def test_a_worker_whose_engine_loads_is_awaited_and_its_progress_told(fake_store: Store, tmp_path: Path) -> None:
    """Its card comes anew with each beat, so it is read anew too."""
    hands = Hands(fake_store)
    child = Child(ProcessSpec("gpu0", Role.ENGINE, ("none",)), logs=tmp_path, on_exit=_nothing)
    child.pid = hands.card.pid
    readiness = Readiness(load_settings({}), fake_store, [child], host=hands.card.host)
    await readiness.look()
    assert readiness.progress() == "0 of 1 processes are ready; waiting for gpu0"
    for state in ("loading (35 s)", "failed: The model is not there.", "ready"):
        hands.card = hands.card.model_copy(update={"engine_state": state})
        await hands.beat()
        await readiness.look()
        told = readiness.progress()
        if state == "ready":
            assert (told, child.state) == ("ready", ChildState.READY)
        else:
            assert told.endswith(f"waiting for gpu0: {state.partition(': ')[0]}")
            assert child.state is ChildState.STARTING
