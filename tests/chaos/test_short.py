"""Every fault in a short form: a few hundred jobs each, on one fleet that is hurt again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults.workers import Frozen, Killed, KilledAtStep, ToldToStop, TwoReapers
from tests.chaos.load import Volume
from tests.chaos.scenario import Fault, play
from tests.chaos.server import Server
from tests.chaos.stage import Stage, stage_settings

VOLUME = Volume(batch=100, lone=50)
FAULTS: tuple[Fault, ...] = (
    Killed(times=2),
    Killed(times=1, watched="nobody watching"),
    KilledAtStep("claim:before"),
    KilledAtStep("claim:after"),
    KilledAtStep("commit:before"),
    KilledAtStep("commit:after"),
    Frozen(),
    ToldToStop(grace_s=0),
    TwoReapers(),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three workers on a server of their own; whatever a fault leaves dead is started again before the next."""
    settings = stage_settings(tmp_path_factory.mktemp("chaos"), quick=True)
    made = Stage(Server(settings), names=("gpu0", "gpu1", "gpu2"), behind=("gpu0",))
    yield made
    made.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_is_lost_and_nothing_is_done_twice(stage: Stage, fault: Fault) -> None:
    """Every job ends once, with one accepted commit; every counter equals a recount; nothing is left behind."""
    print(await play(fault, stage, VOLUME, within_s=90))
