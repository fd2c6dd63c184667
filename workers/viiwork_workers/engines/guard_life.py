"""One life of an engine, from its start to its fall."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from viiwork.recipes import Launch
from viiwork_workers.engines.child import how_it_ended
from viiwork_workers.engines.guard_board import Board
from viiwork_workers.engines.guard_child import Address, Child, Reaper, spawn
from viiwork_workers.engines.guard_course import STRUCK, Fall
from viiwork_workers.engines.guard_files import GuardFiles
from viiwork_workers.engines.guard_frames import Busy
from viiwork_workers.engines.guard_log import EngineLog
from viiwork_workers.engines.guard_probe import Probe
from viiwork_workers.engines.guard_tree import vram_used
from viiwork_workers.engines.guard_watch import Look, Watch

T = TypeVar("T")
LOOK_S = 1.0
QUICK_LOOK_S = 0.1
"""While an engine is young: small ones are up in a second."""
ANSWER_S = 5.0
DEATH_SHOWS_S = 1.0
"""An engine that answers with errors because it is dying has died within this time."""


@dataclass(slots=True)
class Ground:
    """What an engine's lives have in common."""

    launch: Launch
    files: GuardFiles
    reaper: Reaper
    log: EngineLog
    marks: Mapping[str, str]
    """Variables that every process of the engine carries."""
    busy: Callable[[], Busy | None]
    write_record: Callable[[], None]
    vram_bytes: int | None = None
    """What the card had in use when it was looked at last."""


class Life:
    """Runs once; `sane` is called when a canary made sense."""

    def __init__(self, ground: Ground, board: Board, *, sane: Callable[[], None]) -> None:
        self._ground = ground
        self._launch = ground.launch
        self._board = board
        self._sane = sane
        self._address = Address(0, "")
        self._url = ground.launch.url
        self._pid = 0
        self._ready_s: float | None = None
        self._adopted = asyncio.Event()

    async def live(self) -> Fall:
        """Until its fall; the processes that are left then are not ended here."""
        self._board.move("starting", life=self._board.phase.life + 1, pid=0)
        fall = await (self._look_after_server() if self._launch.url else self._run_process())
        served_s = 0.0 if self._ready_s is None else _now() - self._ready_s
        return replace(fall, served_s=served_s, was_ready=self._ready_s is not None)

    def adopt(self) -> None:
        """Another life of the worker has come: what the former asked is lost, and the engine is checked first."""
        if self._board.stage == "ready":
            self._board.move("checking", life=self._board.phase.life + 1)
            self._adopted.set()

    async def _look_after_server(self) -> Fall:
        key = ""
        if self._launch.key_file:
            try:
                key = await asyncio.to_thread(_read_key, self._launch.key_file)
            except (OSError, UnicodeDecodeError):
                return Fall("away", "the file with the server's key cannot be read", "Check engine.key_file.")
        self._address = replace(self._address, key=key)
        return await self._serve()

    async def _run_process(self) -> Fall:
        try:
            child = self._start()
        except (OSError, ValueError) as error:  # ValueError: a word that no command line can hold
            why = f"the engine's program cannot be started: {getattr(error, 'strerror', error)}"
            return Fall("died", why, "Check that the engine is installed, and engine.python.", hopeless=True)
        fall = await _first(_death(child), self._serve(), self._tend())
        if fall.how == "garbage":
            return fall
        return fall.known_as(self._ground.log.known(recent=self._ready_s is not None))

    def _start(self) -> Child:
        self._address = Address.new()
        self._url = self._address.url
        log = self._ground.log.open()
        try:
            child = spawn(self._launch, self._address, log=log, marks=self._ground.marks)
        finally:
            os.close(log)
        self._ground.reaper.watch(child)
        self._pid = child.pid
        self._ground.write_record()
        return child

    async def _serve(self) -> Fall:
        probe = Probe(self._launch, self._url, self._address.key)
        self._board.move("loading", pid=self._pid)
        try:
            fall = await self._load(probe) or await self._check(probe)
            if fall is None:
                self._ready_s = _now()
                fall = await _first(self._watch(probe), self._check_again(probe))
        finally:
            await probe.close()
        # A server that somebody else runs cannot be started again: whatever ails it, it is looked at again.
        return replace(fall, how="away") if self._launch.url and fall.how != "garbage" else fall

    async def _load(self, probe: Probe) -> Fall | None:
        """None once it is up and lists its model."""
        begin_s = _now()
        while _now() - begin_s < self._launch.start_timeout_s:
            standing = await probe.health(timeout_s=ANSWER_S)
            if standing in ("refused", "silent") and self._launch.url:
                return self._away()
            why = "its health page answers with a status that the recipe does not name" if standing == "odd" else ""
            if standing == "up":
                why = await probe.models(timeout_s=ANSWER_S)
                if not why:
                    return None
            self._board.move("loading", why=why)
            await asyncio.sleep(QUICK_LOOK_S if _now() - begin_s < 10 * LOOK_S else LOOK_S)
        return Fall("late", f"the engine was not ready after {self._launch.start_timeout_s:g} s")

    def _away(self) -> Fall:
        shown = self._launch.url.rpartition("@")[2]  # a name and a password may stand before it
        return Fall("away", f"the server at {shown} does not answer", "Start it, or check engine.url.")

    async def _check(self, probe: Probe) -> Fall | None:
        """None once its text makes sense."""
        self._board.move("checking")
        begin_s = _now()
        while (left_s := self._launch.hang_s - (_now() - begin_s)) > 0:
            canary = await probe.canary(timeout_s=left_s)
            if canary.sense == "sane":
                self._sane()
                return None
            if canary.sense == "garbage":
                return Fall("garbage", canary.why)
            if canary.sense == "broken":
                await asyncio.sleep(DEATH_SHOWS_S)
                return Fall("broken", canary.why)
            if self._launch.url and await probe.health(timeout_s=ANSWER_S) in ("refused", "silent"):
                return self._away()
            await asyncio.sleep(QUICK_LOOK_S)
        return Fall("hung", f"the engine did not answer a test request within {self._launch.hang_s:g} s")

    async def _check_again(self, probe: Probe) -> Fall:
        """Look at the sanity of its text from time to time; an engine that is too busy to answer is left alone."""
        failures = 0
        while failures < 2:
            await _sleep(LOOK_S if failures else self._launch.canary_every_s or None)
            canary = await probe.canary(timeout_s=self._launch.hang_s)
            if canary.sense == "garbage":
                return Fall("garbage", canary.why)
            if canary.sense == "sane":
                self._sane()
            failures = failures + 1 if canary.sense == "broken" else 0
        return Fall("broken", canary.why)

    async def _watch(self, probe: Probe) -> Fall:
        """Until it hangs."""
        self._say_ready()
        watch = Watch.of(self._launch.hang_s, ours=not self._launch.url)
        while True:
            if self._adopted.is_set():
                self._adopted.clear()
                if (fall := await self._check(probe)) is not None:
                    return fall
                self._say_ready()
                watch = Watch.of(self._launch.hang_s, ours=not self._launch.url)
            look = await self._look(probe)
            watch = watch.after(look)
            if watch.why:
                return Fall("hung", watch.why)
            if look.standing == "refused":
                # vLLM without its EngineCore closes its port at once and takes 4 s more to end, measured
                return self._away() if self._launch.url else Fall("died", "the engine closed its port")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._adopted.wait(), LOOK_S)

    async def _look(self, probe: Probe) -> Look:
        answer_s = min(ANSWER_S, self._launch.hang_s / 3)
        standing, load = await asyncio.gather(probe.health(timeout_s=answer_s), probe.load(timeout_s=answer_s))
        if load is not None and self._board.stage == "ready":
            self._board.load(load)
        return Look(_now(), standing, load, self._ground.busy())

    def _say_ready(self) -> None:
        self._board.move("ready", url=self._url, key=self._address.key)

    async def _tend(self) -> Fall:
        """What is done once a second as long as its process runs."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._ground.log.look()
            self._ground.write_record()
            self._ground.vram_bytes = vram_used(self._launch.vram_used_file)


async def _death(child: Child) -> Fall:
    returncode = await asyncio.shield(child.ended)
    return Fall("died", f"the engine's process {how_it_ended(returncode)}", struck=returncode in STRUCK)


async def _first(*ways: Coroutine[Any, Any, T]) -> T:
    """Whatever comes to its end first; of several at once, the first of the arguments. The others are cancelled."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sleep(seconds: float | None) -> None:
    """None: for ever."""
    if seconds is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(seconds)


def _read_key(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()


def _now() -> float:
    return asyncio.get_running_loop().time()
