"""The faults in a short form: a few hundred jobs each, on one fleet that is hurt again and again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults.api import ApiKilled
from tests.chaos.faults.network import Dropped, Silent
from tests.chaos.faults.poison import Poison
from tests.chaos.faults.server import DiskFull, PowerCut, ServerFull, ServerKilled
from tests.chaos.faults.workers import EngineKilled, Frozen, Killed, KilledAtEveryStep, ToldToStop, TwoReapers
from tests.chaos.load import Volume
from tests.chaos.scenario import Fault, play
from tests.chaos.server import Server, SmallDiskServer
from tests.chaos.stage import Stage, stage_settings

NAMES = ("gpu0", "gpu1", "gpu2")
VOLUME = Volume(batch=100, lone=50, output_tokens=240)
FAULTS: tuple[Fault, ...] = (
    Killed(times=1),
    KilledAtEveryStep(),
    EngineKilled(times=1),
    Frozen(),
    TwoReapers(),
    ToldToStop(),
    Poison(workers=len(NAMES)),
    Dropped(times=3),
    Silent(seconds=1),
    Silent(seconds=3),
    ServerKilled(),
    ServerKilled(away_s=3),
    ServerFull(progress=20),
    DiskFull(seconds=1),
    PowerCut(),
    ApiKilled(lines=1000),
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Three workers on a server of their own; whatever a fault leaves dead is started again before the next."""
    settings = stage_settings(tmp_path_factory.mktemp("chaos"), quick=True, poison=True, time_scale=0.02)
    server = Server(settings) if SmallDiskServer.refused() else SmallDiskServer(settings)
    made = Stage(server, names=NAMES, behind=NAMES[:1])
    yield made
    made.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_nothing_is_lost_and_nothing_is_done_twice(stage: Stage, fault: Fault) -> None:
    """Every job ends once, with one accepted commit; every counter equals a recount; nothing is left behind."""
    if isinstance(fault, DiskFull) and not isinstance(stage.server, SmallDiskServer):
        pytest.skip(f"a small disk cannot be mounted here: {SmallDiskServer.refused()}")
    await play(fault, stage, VOLUME, within_s=150)
