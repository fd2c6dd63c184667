"""Every fault in its long form: 2,000 jobs and more, 4 workers, the leases that fleets have. `make chaos` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.conftest import Table
from tests.chaos.faults.api import ApiKilled
from tests.chaos.faults.network import Dropped, Silent
from tests.chaos.faults.poison import Poison
from tests.chaos.faults.rolling import RollingRestart, earlier_code
from tests.chaos.faults.server import ClockTurned, DiskFull, PowerCut, ServerFull, ServerKilled
from tests.chaos.faults.workers import EngineKilled, Frozen, Killed, KilledAtStep, KilledLate, ToldToStop, TwoReapers
from tests.chaos.load import Volume
from tests.chaos.scenario import Fault, play
from tests.chaos.server import FAKETIME, FalseClockServer, Server, SmallDiskServer
from tests.chaos.stage import Stage, stage_settings
from tests.chaos.up import UpStage
from viiwork.settings import Settings

VOLUME = Volume(batch=1600, lone=400)
NAMES = ("gpu0", "gpu1", "gpu2", "gpu3")
pytestmark = [pytest.mark.chaos_long, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Case:
    """A fault and the stage that it needs."""

    fault: Fault
    names: tuple[str, ...] = NAMES
    server: Callable[[Settings], Server] = Server
    stage: Callable[..., Stage] = Stage
    volume: Volume = VOLUME
    slots: int = 8
    poison: bool = False

    def set(self, root: Path) -> Stage:
        """Start the server; the workers come with the run."""
        settings = stage_settings(root, slots=self.slots, poison=self.poison)
        if self.stage is UpStage:
            return UpStage(settings, names=self.names)
        return Stage(self.server(settings), names=self.names, behind=self.names[:2])


CASES = (
    Case(Killed(times=2)),
    Case(Killed(times=8)),
    Case(Killed(times=8, watched="under `viiwork up`"), stage=UpStage),
    Case(Killed(times=2, watched="nobody watching")),
    Case(Killed(times=8, watched="nobody watching")),
    Case(KilledAtStep("claim:before", count=100)),
    Case(KilledAtStep("claim:after", count=100)),
    Case(KilledAtStep("commit:before", count=100)),
    Case(KilledAtStep("commit:after", count=100)),
    Case(EngineKilled(times=4)),
    Case(Frozen()),
    Case(Dropped(times=10)),
    Case(Silent(seconds=5)),
    Case(Silent(seconds=20)),
    Case(ServerKilled()),
    Case(ServerKilled(away_s=20)),
    Case(ServerFull()),
    Case(DiskFull(), server=SmallDiskServer),
    Case(PowerCut()),
    Case(ApiKilled()),
    Case(ToldToStop()),
    Case(ToldToStop(grace_s=0)),
    Case(RollingRestart()),
    Case(ClockTurned(hours=1), server=FalseClockServer),
    Case(ClockTurned(hours=-1), server=FalseClockServer),
    Case(TwoReapers()),
    Case(Poison(workers=1), names=NAMES[:1], volume=Volume(batch=1999, lone=0), slots=16, poison=True),
    Case(Poison(workers=4), volume=Volume(batch=1999, lone=0), slots=16, poison=True),
    Case(KilledLate(done=6400), volume=Volume(batch=20_000, lone=0, output_tokens=100), slots=16),
)


def needs(case: Case, table: Table) -> None:
    """Skip what this machine does not let us do, and say so in the table."""
    if case.server is FalseClockServer and not any(Path(path).exists() for path in FAKETIME):
        table.skip(case.fault.name, "libfaketime is not installed (Debian: apt-get install libfaketime)")
    if case.server is SmallDiskServer and (reason := SmallDiskServer.refused()):
        table.skip(case.fault.name, f"mounting a small disk is refused here: {reason}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault.name)
async def test_nothing_is_lost_and_nothing_is_done_twice(case: Case, tmp_path: Path, chaos_table: Table) -> None:
    """Every job ends once, with one accepted commit; every counter equals a recount; nothing is left behind."""
    needs(case, chaos_table)
    stage = case.set(tmp_path)
    try:
        chaos_table.add(await play(case.fault, stage, case.volume))
    finally:
        stage.close()


async def test_a_fleet_is_upgraded_worker_by_worker(tmp_path: Path, chaos_table: Table) -> None:
    """From the workers of an earlier version to these, under load."""
    code, version = earlier_code(tmp_path / "code")
    fault = RollingRestart(name=f"rolling upgrade from {version}" if code else "rolling upgrade")
    if code is None:
        chaos_table.skip(fault.name, version)
        return
    stage = Stage(Server(stage_settings(tmp_path / "state")), names=NAMES)
    stage.code = code
    try:
        chaos_table.add(await play(fault, stage, VOLUME))
    finally:
        stage.close()
