"""A guarded small engine, for tests: what it is to do next, and who still runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from viiwork.processes import tagged
from viiwork.recipes import Launch, Metrics
from viiwork_workers.engines.guard.files import ENGINE_OF, GuardFiles
from viiwork_workers.engines.guard.followed import FollowedKeeper
from viiwork_workers.engines.guard.frames import Phase
from viiwork_workers.engines.guard.record import read_record

SCRIPT = Path(__file__).with_name("small_engine.py")
METRICS = Metrics(running="running", waiting="waiting", kv_use="kv", prompt_tokens="prompt", output_tokens="output")
WITHIN_S = 60.0


class Guarded:
    """One worker's engine in a state directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.plan_file = root / "plan.json"
        self.files = GuardFiles.of(root / "state", "gpu0")
        self.keepers: list[FollowedKeeper] = []
        self.plan()

    def plan(self, **what: Any) -> None:
        """What the engine is to do from now on."""
        fresh = self.plan_file.with_suffix(".new")
        fresh.write_text(json.dumps(what), encoding="utf-8")
        fresh.replace(self.plan_file)  # in one step: it reads the file at every request

    def launch(self, **changes: Any) -> Launch:
        """How the small engine is started."""
        argv = (sys.executable, "-I", "-S", str(SCRIPT), "{port}", "{key}", str(self.plan_file))
        told = {"argv": argv, "worker": "gpu0", "title": "small", "alias": "small", "stop_grace_s": 5.0, "keep_s": 20.0}
        return Launch(**(told | changes))

    async def keeper(self, launch: Launch | None = None) -> FollowedKeeper:
        """A worker's end, opened."""
        keeper = FollowedKeeper(launch or self.launch(), state_dir=self.root / "state")
        self.keepers.append(keeper)
        await keeper.open()
        return keeper

    async def close(self) -> None:
        for keeper in self.keepers:
            await keeper.close()

    def guard_pid(self) -> int:
        record = read_record(self.files)
        assert record is not None
        return record.guard[0]

    def people(self) -> list[int]:
        """The engine's processes that run, by the mark that each of them carries."""
        return [pid for pid, _ in tagged(ENGINE_OF, self.files.mark)]

    def everyone(self) -> list[int]:
        """Those, and every guard of this state directory."""
        guards = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if str(self.files.state_dir) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
                guards.append(process.pid)
        return [*self.people(), *(pid for pid in guards if pid != os.getpid())]


async def stage(keeper: FollowedKeeper, *wanted: str, life: int | None = None) -> Phase:
    """Wait until it stands there."""
    async with asyncio.timeout(WITHIN_S):
        phase = keeper.phase
        while phase.stage not in wanted or (life is not None and phase.life < life):
            phase = await keeper.changed(phase)
    return phase


async def until(check: Callable[[], bool], *, what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not check():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(what) from None
