"""Faults of the Redis server: killed, away, full, without disk, without power, with a wrong clock."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from random import Random

import pytest

from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.workers import eventually
from viiwork.errors import Unavailable


@dataclass(frozen=True, slots=True)
class ServerKilled:
    """SIGKILL to Redis under load; it comes back `away_s` later from its append-only file."""

    away_s: float = 0.0

    @property
    def name(self) -> str:
        return "Redis SIGKILL and restart" + (f", {self.away_s:.0f} s away" if self.away_s else "")

    async def strike(self, stage: Stage, load: Load) -> None:
        await stage.busy(*stage.names)
        await stage.note()
        stage.server.kill()
        await asyncio.sleep(self.away_s)
        await asyncio.to_thread(stage.server.start)
        await stage.busy(*stage.names)


@dataclass(frozen=True, slots=True)
class ServerFull:
    """Redis over its memory limit: no new work is taken, and what is there already is finished."""

    progress: int = 50
    """Jobs that must end meanwhile."""
    name: str = "Redis full with jobs running"

    async def strike(self, stage: Stage, load: Load) -> None:
        client = stage.store.client
        before = str((await client.config_get("maxmemory"))["maxmemory"])
        await stage.busy(*stage.names)

        async def at_hand() -> bool:
            return await stage.open_jobs() >= self.progress

        await eventually(at_hand, within_s=60, what=f"{self.progress} jobs at hand")
        await stage.note()
        await client.config_set("maxmemory", 1024 * 1024)
        try:
            with pytest.raises(Unavailable):
                await stage.store.submit([load.job()])
            # Nothing is added from here on. Some ended since they were counted: then what is left must end.
            left = max(0, await stage.open_jobs() - self.progress)

            async def goes_on() -> bool:
                return await stage.open_jobs() <= left

            await eventually(goes_on, within_s=60, what=f"{self.progress} jobs done on a full server")
        finally:
            await client.config_set("maxmemory", before)


@dataclass(frozen=True, slots=True)
class DiskFull:
    """No room for the append-only file: the server takes no writes until there is, and then all goes on."""

    seconds: float = 5.0
    name: str = "AOF disk full"

    async def strike(self, stage: Stage, load: Load) -> None:
        await stage.busy(*stage.names)
        await stage.note()
        with stage.server.disk_full():
            await eventually(lambda: refuses(stage, load), within_s=30, what="writes refused")
            await asyncio.sleep(self.seconds)
        await eventually(lambda: takes(stage), within_s=60, what="writes taken again")
        await stage.busy(*stage.names)


async def refuses(stage: Stage, load: Load) -> bool:
    """Whether new work is refused, and the reason said."""
    try:
        await load.take_once([load.job()])
    except Unavailable as error:
        return "room on the disk" in (error.hint or "")
    return False


async def takes(stage: Stage) -> bool:
    try:
        await stage.store.set_closing(False)
    except Unavailable:
        return False
    return True


STOCK = 400
"""Jobs that a fleet has before nobody gives it more: it is at work still when the power goes."""


@dataclass(frozen=True, slots=True)
class PowerCut:
    """Every process SIGKILLed at once, and the disk keeps only what was synced: the rest of the file is cut off.

    What was acknowledged was synced, so it must be there; what ended after that is done again. No rewrite begins in
    between: what was synced is told by the length of one file.
    """

    seed: int = 7
    name: str = "power cut, unsynced tail of the AOF lost"

    async def strike(self, stage: Stage, load: Load) -> None:
        await stage.busy(*stage.names)
        await stage.store.client.config_set("auto-aof-rewrite-percentage", "0")
        await eventually(lambda: in_one_part(stage), within_s=60, what="no rewrite under way")
        await load.take([load.job() for _ in range(STOCK)])
        await load.hold()
        synced_bytes = stage.server.append_only_file.stat().st_size
        await stage.busy(*stage.names)
        await asyncio.sleep(1.0)
        await stage.note()
        stage.fleet.kill(*stage.names)
        stage.server.kill()
        lost = cut(stage, keep_bytes=synced_bytes + Random(self.seed).randrange(1, 200))
        assert lost > 4096, f"only {lost} bytes were lost"
        await asyncio.to_thread(stage.server.start)
        stage.start(*stage.names)
        load.go_on()
        await stage.joined(*stage.names)


async def in_one_part(stage: Stage) -> bool:
    return not (await stage.store.client.info("persistence"))["aof_rewrite_in_progress"]


def cut(stage: Stage, *, keep_bytes: int) -> int:
    """Take the end off the append-only file, most likely in the middle of a command; answers the bytes lost."""
    path = stage.server.append_only_file
    size = path.stat().st_size
    os.truncate(path, min(size, keep_bytes))
    return size - keep_bytes


@dataclass(frozen=True, slots=True)
class ClockTurned:
    """The server's clock jumps by an hour under load, and a worker dies right before: the living keep their jobs, and
    the dead one's come back.
    """

    hours: int

    @property
    def name(self) -> str:
        return f"server clock {self.hours:+d} h, one worker dead"

    async def strike(self, stage: Stage, load: Load) -> None:
        victim, *others = stage.names
        await stage.busy(*others)
        life = await stage.incarnation(victim)
        await stage.kill(victim, supervised=False)
        hurt = {wound.job for wound in stage.wounds.all}
        await stage.note(*others)
        before_ms = await stage.now_ms()
        stage.server.turn_clock(3600 * self.hours)

        async def turned() -> bool:
            return abs(await stage.now_ms() - before_ms) > 3_000_000

        await eventually(turned, within_s=30, what="the clock turned")
        stage.wounds.turn(3_600_000 * self.hours)
        # A commit may have been under way to the server when its worker died: such a job has ended, which is as good.
        asked = [("HMGET", f"{stage.store.prefix}job:{job}", "state", "inc") for job in hurt]

        async def taken_back() -> bool:
            return ["running", life] not in await stage.store.read(asked)

        await eventually(taken_back, within_s=5 * stage.lease_ttl_s, what="the dead worker's jobs taken back")
        stage.start(victim)
        await stage.joined(victim)
