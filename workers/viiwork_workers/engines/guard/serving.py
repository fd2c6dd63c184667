"""From an engine's first answer to its fall: is it up, does its text make sense, does it work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from viiwork.recipes import Launch
from viiwork_workers.engines.guard.board import Board
from viiwork_workers.engines.guard.body import Body
from viiwork_workers.engines.guard.course import Fall
from viiwork_workers.engines.guard.first import first
from viiwork_workers.engines.guard.frames import Busy, Load
from viiwork_workers.engines.guard.port import owner
from viiwork_workers.engines.guard.probe import REFUSES, Probe, Standing
from viiwork_workers.engines.guard.verdict import Canary
from viiwork_workers.engines.guard.watch import Look, Watch

LOOK_S = 1.0
QUICK_LOOK_S = 0.1
"""While an engine is young: small ones are up in a second."""
ANSWER_S = 5.0
TAKEN = Fall("died", "another process has taken the engine's port", "End it, or see who it is.", port_taken=True)


@dataclass(frozen=True, slots=True)
class Post:
    """Where one life of an engine answers. A server that somebody else runs has port 0."""

    url: str
    key: str
    port: int = 0
    pid: int = 0


class Serving:
    """One life of an engine as a server. `sane` is called when a canary made sense."""

    def __init__(
        self,
        launch: Launch,
        post: Post,
        board: Board,
        *,
        body: Body,
        busy: Callable[[], Busy | None],
        sane: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._launch = launch
        self._post = post
        self._board = board
        self._body = body
        self._busy = busy
        self._sane = sane
        self._note = note
        self._probe = Probe(launch, post.url, post.key)
        self._begin_s = _now()
        self._adopted = asyncio.Event()
        self._doubted = asyncio.Event()
        self._woken = asyncio.Event()
        self._version = ""
        self.ready_s: float | None = None
        """When it was ready first."""

    async def serve(self) -> Fall:
        """Until its fall."""
        self._board.move("loading", pid=self._post.pid)
        try:
            fall = await self._load() or await self._check(within_s=self._left_s())
            if fall is None:
                self._version = await self._probe.version(timeout_s=ANSWER_S)
                self.ready_s = _now()
                minding = [self._mind_sanity()] if self._launch.canary else []
                fall = await first(self._watch(), *minding)
            return fall
        finally:
            await self._probe.close()

    def adopt(self) -> None:
        """Another life of the worker has come: what the former asked is lost, and the engine is checked first."""
        if self._board.stage == "ready":
            self._board.move("checking", life=self._board.phase.life + 1)
            self._adopted.set()
            self._woken.set()

    def doubt(self) -> None:
        """The worker's requests fail: look at once."""
        if self._board.stage == "ready":
            self._doubted.set()
            self._woken.set()

    def _left_s(self) -> float:
        """For the first answer: an engine may compile for minutes when it is asked first."""
        return max(self._launch.hang_s, self._launch.start_timeout_s - (_now() - self._begin_s))

    async def _load(self) -> Fall | None:
        """None once it is up and lists its model. A server that somebody else runs may list others."""
        while _now() - self._begin_s < self._launch.start_timeout_s:
            standing = await self._first_standing()
            if standing is None:
                return TAKEN
            if standing in ("refused", "silent") and self._launch.url:
                return self._away()
            why = "its health page answers with a status that the recipe does not name" if standing == "odd" else ""
            if standing in ("up", "odd"):
                listed = await self._probe.models(timeout_s=ANSWER_S)
                if listed == REFUSES:
                    advice = "Check --key-file (engine.key_file)."
                    why = f"the engine at its address answers, but {REFUSES}"
                    return Fall("broken", why, advice, hopeless=True)
                if standing == "up" and not listed:
                    return self._unserved()
                why = why or listed
            self._board.move("loading", why=why)
            await asyncio.sleep(QUICK_LOOK_S if _now() - self._begin_s < 10 * LOOK_S else LOOK_S)
        why = f"the engine was not ready after {self._launch.start_timeout_s:g} s"
        return Fall("late", why, "Give it longer with --start-timeout (engine.start_timeout_s).")

    async def _first_standing(self) -> Standing | None:
        """None when a stranger answers. The key is shown once it is sure that none does, and jobs only after that."""
        standing = await self._probe.health(timeout_s=ANSWER_S)
        if self._probe.trusts or (standing == "refused" and self._post.port):
            return standing
        whose = owner(self._post.port, (pid for pid, _ in self._body.people())) if self._post.port else "ours"
        if whose == "another":
            return None
        if whose == "unknown":
            self._note(f"who listens at port {self._post.port} is not to be seen; it is taken for the engine")
        self._probe.trust()
        return await self._probe.health(timeout_s=ANSWER_S)

    def _away(self) -> Fall:
        shown = self._launch.url.rpartition("@")[2]  # a name and a password may stand before it
        why = f" ({self._probe.trouble})" if self._probe.trouble else ""
        return Fall("away", f"the server at {shown} does not answer{why}", "Start it, or check --url (engine.url).")

    def _unserved(self) -> Fall | None:
        """No job of ours can have made it serve another model."""
        if not self._probe.unserved:
            return None
        advice = "Have it serve that model, or name one that it serves with --model (engine.model)."
        return Fall("unserved", self._probe.unserved, advice, fault_of="engine")

    async def _check(self, *, within_s: float) -> Fall | None:
        """None once its text makes sense."""
        if not self._launch.canary:
            return None
        self._board.move("checking")
        begin_s = _now()
        while (left_s := within_s - (_now() - begin_s)) > 0:
            canary = await self._probe.canary(timeout_s=left_s)
            if canary.sense == "sane":
                self._sane()
                return None
            if canary.sense in ("garbage", "broken"):
                return _fallen(canary)
            if self._launch.url and await self._probe.health(timeout_s=ANSWER_S) in ("refused", "silent"):
                return self._away()
            await asyncio.sleep(QUICK_LOOK_S)
        return Fall("hung", f"the engine did not answer a test request within {within_s:.0f} s")

    async def _mind_sanity(self) -> Fall:
        """Look at the sanity of its text from time to time; an engine that is too busy to answer is left alone."""
        canary = Canary("sane")
        while True:
            await self._next_question(soon=canary.sense == "unsure")
            doubted = self._doubted.is_set()
            self._doubted.clear()
            canary = await self._probe.canary(timeout_s=self._launch.hang_s)
            if canary.sense in ("garbage", "broken"):
                return _fallen(canary, doubted=doubted)
            if canary.sense == "sane":
                self._sane()

    async def _next_question(self, *, soon: bool) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._doubted.wait(), LOOK_S if soon else self._launch.canary_every_s or None)

    async def _watch(self) -> Fall:
        """Until it hangs, or says that it cannot work."""
        watch = self._new_watch()
        while True:
            self._woken.clear()
            if self._adopted.is_set():
                self._adopted.clear()
                if (fall := await self._check(within_s=self._launch.hang_s)) is not None:
                    return fall
                watch = self._new_watch()
            look = await self._look()
            watch = watch.after(look)
            if watch.why:
                return Fall("hung", watch.why)
            # vLLM without its EngineCore closes its port at once and takes 4 s more to end, measured
            if look.standing == "refused" or watch.sick:
                return self._away() if self._launch.url else _unwell(look.standing)
            if (fall := self._unserved()) is not None:
                return fall
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_S)

    def _new_watch(self) -> Watch:
        model = self._probe.model if self._launch.url else ""
        self._board.move("ready", url=self._post.url, key=self._post.key, version=self._version, model=model)
        return Watch.of(self._launch.hang_s, ours=not self._launch.url)

    async def _look(self) -> Look:
        answer_s = min(ANSWER_S, self._launch.hang_s / 3)
        probe, busy = self._probe, self._busy()
        standing, load = await asyncio.gather(probe.health(timeout_s=answer_s), probe.load(timeout_s=answer_s))
        self._tell_load(load, busy)
        computes = busy is not None and busy.running and not self._launch.url
        return Look(_now(), standing, load, busy, self._body.computed_s() if computes else None)

    def _tell_load(self, load: Load | None, busy: Busy | None) -> None:
        """Also when its page is not to be had: the worker then sees to it that bytes tell of its work."""
        if self._board.stage == "ready" and self._launch.metrics is not None:
            self._board.load(load or Load(running=busy.running if busy is not None else 0, uncounted=True))


def _fallen(canary: Canary, *, doubted: bool = False) -> Fall:
    """An engine whose requests fail may have been spoilt by one of them; one whose text is rubbish was not."""
    if canary.sense == "garbage":
        return Fall("garbage", canary.why, fault_of="engine")
    return Fall("broken", canary.why, fault_of="" if doubted else "engine")


def _unwell(standing: Standing) -> Fall:
    if standing == "refused":
        return Fall("died", "the engine closed its port")
    return Fall("died", "the engine's health page says that it cannot work")


def _now() -> float:
    return asyncio.get_running_loop().time()
