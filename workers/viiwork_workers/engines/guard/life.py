"""One life of an engine, from its start to its fall."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from viiwork.recipes import Launch
from viiwork_workers.engines.guard.board import Board
from viiwork_workers.engines.guard.body import Body
from viiwork_workers.engines.guard.card import Card
from viiwork_workers.engines.guard.child import Address, Child, Reaper
from viiwork_workers.engines.guard.course import Fall
from viiwork_workers.engines.guard.files import GuardFiles
from viiwork_workers.engines.guard.first import first
from viiwork_workers.engines.guard.frames import Busy
from viiwork_workers.engines.guard.log import EngineLog
from viiwork_workers.engines.guard.serving import Post, Serving
from viiwork_workers.engines.guard.turn import Turn

TEND_S = 1.0
NOT_INSTALLED = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR})
"""Why a program cannot be started, next time as little as now."""


@dataclass(slots=True)
class Ground:
    """What an engine's lives have in common."""

    launch: Launch
    body: Body
    files: GuardFiles
    reaper: Reaper
    log: EngineLog
    card: Card
    turn: Turn
    marks: Mapping[str, str]
    """Variables that every process of the engine carries."""
    busy: Callable[[], Busy | None]
    note: Callable[[str], None]
    """Writes a line to the guard's own log."""
    write_record: Callable[[], None]


class Life:
    """Runs once; `sane` is called when a canary made sense."""

    def __init__(self, ground: Ground, board: Board, *, sane: Callable[[], None]) -> None:
        self._ground = ground
        self._launch = ground.launch
        self._board = board
        self._sane = sane
        self._serving: Serving | None = None

    async def live(self) -> Fall:
        """Until its fall; the processes that are left then are not ended here."""
        self._board.move("starting", life=self._board.phase.life + 1, pid=0)
        fall = await (self._look_after_server() if self._launch.url else self._run_process())
        ready_s = self._ready_s
        served_s = 0.0 if ready_s is None else asyncio.get_running_loop().time() - ready_s
        return replace(fall, served_s=served_s, was_ready=ready_s is not None)

    def adopt(self) -> None:
        """Another life of the worker has come."""
        if self._serving is not None:
            self._serving.adopt()

    def doubt(self) -> None:
        """The worker's requests fail."""
        if self._serving is not None:
            self._serving.doubt()

    @property
    def _ready_s(self) -> float | None:
        return None if self._serving is None else self._serving.ready_s

    async def _look_after_server(self) -> Fall:
        """It cannot be started again: whatever ails it, it is looked at again."""
        key = ""
        if self._launch.key_file:
            try:
                key = await asyncio.to_thread(_read_key, self._launch.key_file)
            except (OSError, UnicodeDecodeError):
                return Fall(
                    "away", "the file with the server's key cannot be read", "Check --key-file (engine.key_file)."
                )
        fall = await self._serve(Post(self._launch.url, key))
        return fall if fall.how in ("garbage", "unserved") or fall.hopeless else replace(fall, how="away")

    async def _run_process(self) -> Fall:
        try:
            address = Address.new()
            child = await self._start(address)
        except (OSError, ValueError) as error:
            return _not_started(error)
        try:
            fall = await first(self._death(child), self._serve_once_there(child, address), self._tend())
        finally:
            self._ground.log.look()
        if fall.how == "garbage" or fall.was_told:
            return fall
        return fall.known_as(self._ground.log.known(recent=self._ready_s is not None))

    async def _start(self, address: Address) -> Child:
        log = self._ground.log.open()
        try:
            child = await self._ground.body.start(address, log=log, marks=self._ground.marks)
        finally:
            os.close(log)
        self._ground.reaper.watch(child)
        self._ground.write_record()
        return child

    async def _death(self, child: Child) -> Fall:
        return await self._ground.body.fall(await asyncio.shield(child.ended))

    async def _serve_once_there(self, child: Child, address: Address) -> Fall:
        pid = await self._ground.body.pid(child)
        return await self._serve(Post(address.url, address.key, address.port, pid))

    async def _serve(self, post: Post) -> Fall:
        ground = self._ground
        self._serving = Serving(
            self._launch, post, self._board, body=ground.body, busy=ground.busy, sane=self._sane, note=ground.note
        )
        return await self._serving.serve()

    async def _tend(self) -> Fall:
        """What is done once a second as long as its process runs."""
        while True:
            await asyncio.sleep(TEND_S)
            self._ground.log.look()
            await self._ground.log.trim()
            self._ground.write_record()
            await self._ground.card.look()


def _not_started(error: OSError | ValueError) -> Fall:
    """Most reasons pass: a full disk, too many processes or open files. ValueError: no command line can hold a word."""
    if isinstance(error, OSError) and error.errno not in NOT_INSTALLED:
        why = f"this machine could not start the engine: {error.strerror or error}"
        return Fall("died", why, "Free what it is short of; it is tried again.")
    why = f"the engine's program cannot be started: {getattr(error, 'strerror', error)}"
    return Fall("died", why, "Check that the engine is installed, and engine.python.", hopeless=True)


def _read_key(file: str) -> str:
    return Path(file).read_text(encoding="utf-8").strip()
