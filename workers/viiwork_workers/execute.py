"""One pipeline for every job: claim → run → normalise → commit."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress

from viiwork.errors import Busy, EngineDied, EngineFault, Full, Unavailable
from viiwork.jobs import State
from viiwork.queues import HintId
from viiwork.roster import WorkerCard
from viiwork.store import Store
from viiwork.store.blobwire import AWAY
from viiwork.store.leases import Claim, Stale, Verdict, claim_call, read_claim
from viiwork.store.records import SIGNED
from viiwork.work import Answer
from viiwork_workers.commits import Commits, End, Retries
from viiwork_workers.hands import Hands
from viiwork_workers.meter import Meter, Use
from viiwork_workers.outcome import HandedOn, Outcome, Runner, Unfolded, normalise, out_of_time
from viiwork_workers.proof import prove
from viiwork_workers.tick import Tick

log = logging.getLogger(__name__)

ALONE_PAUSE_S = 0.3

STORE_PAUSE_S = 2.0
"""How long a job that met a full or silent store keeps its slot before it goes back, so that it does not spin."""

FULL_PAUSE_S = 15.0
"""How long a document pauses for which Redis has no room, without a slot: others' merges must go on meanwhile."""

LONGEST_PAUSE_S = 30.0
"""The same for one that met an engine with no room, whatever that asks for."""

QUICK_FAULT_S = 1.0
"""An engine that fails jobs sooner than this would eat the whole queue: the worker takes fewer then."""


class Executor:
    """Runs hints on the engine's loop. `runner` is an engine, or the reader's steps."""

    def __init__(
        self, store: Store, runner: Runner, *, card: WorkerCard, retries: Retries, meter: Meter | None = None
    ) -> None:
        self._store = store
        self._runner = runner
        self.card = card
        self._tick = Tick(store)
        self._commits = Commits(store, self._tick, retries=retries)
        self.meter = Meter() if meter is None else meter
        self._slots = asyncio.Semaphore(card.slots)
        self._door = asyncio.Event()
        self._door.set()
        self.hands = Hands()
        self.quick_faults = 0
        self.rest_s = STORE_PAUSE_S
        """How long a job that could not have its input keeps its slot: `Reach` lets it grow, and wakes them all."""
        self._stir = asyncio.Event()
        self.version: Callable[[], str] = str
        """Of the engine's program that runs now, as it says itself; empty where it does not."""
        self.on_engine_lost: Callable[[], None] = _nothing
        """Called when a job finds the engine gone, before its end is committed: nothing more must be taken."""

    @property
    def store(self) -> Store:
        """For others on the engine's loop."""
        return self._store

    async def run(self, hint: HintId, queue: str, *, started: Callable[[], None]) -> End:
        """Claim the job, run it and commit what came of it."""
        async with self._slots:
            # While the engine is started again the job is nobody's yet: its hint may be published to others meanwhile.
            await self._door.wait()
            claim = await self._claim(hint, queue)
            if isinstance(claim, Stale):
                if claim.state == "alone":  # this worker is being kept free: the next hint would come back as soon
                    await asyncio.sleep(ALONE_PAUSE_S)
                return End("cancelled" if claim.state == "cancelled" else "stale")
            if self.hands.leaving:  # its reply came after everything else was given back, or it had not begun
                return await self._commits.commit(claim, Outcome(Verdict.GIVE_BACK), queue)
            started()
            return await self._hold(claim, queue)

    def admit(self, *, ready: bool) -> None:
        """Let hints on to their claims, or keep them at the door while the engine is started again."""
        if ready or self.hands.leaving:
            self._door.set()
        else:
            self._door.clear()

    def leave(self) -> None:
        """Begin no more jobs: what comes now goes straight back. Must run on the engine's loop."""
        self.hands.leaving = True
        self._door.set()
        self.stir()

    def stir(self) -> None:
        """Documents are to be had again: whoever rests for want of one goes back at once, to be taken again."""
        self.rest_s = STORE_PAUSE_S
        stirred, self._stir = self._stir, asyncio.Event()
        stirred.set()

    def abort_all(self) -> None:
        """Stop everything and give it back; must run on the engine's loop."""
        self.leave()
        self.hands.abort_all()

    async def cancel(self, job: str) -> None:
        """Cancel a job, wherever it is; if it runs here it stops now rather than at the next beat."""
        if await self._store.cancel(job) is State.CANCELLED:
            self.hands.abort(job, "cancelled")

    async def _claim(self, hint: HintId, queue: str) -> Claim | Stale:
        token = secrets.token_hex(8)
        call = claim_call(job=hint.job, attempt=hint.attempt, token=token, card=self.card)
        return read_claim(await self._tick.call(call, release=queue), job=hint.job, token=token)

    async def _hold(self, claim: Claim, queue: str) -> End:
        use = self.meter.use(claim.cost_tokens)
        attempt = asyncio.ensure_future(self._attempt(claim, use))
        self.hands.take(claim.fence, attempt, claim.lane)
        try:
            end = await self._end(claim, attempt, use, queue)
        finally:
            self.hands.drop(claim.fence)
        if not end.counts:
            self.meter.lose(use)
        return end

    async def _end(self, claim: Claim, attempt: asyncio.Future[Outcome], use: Use, queue: str) -> End:
        try:
            outcome = await attempt
        except asyncio.CancelledError:
            if not attempt.cancelled():
                raise
            if not self.hands.goes_back(claim.fence):
                return End("cancelled" if self.hands.why_lost(claim.fence) == "cancelled" else "stale")
            outcome = Outcome(Verdict.GIVE_BACK)
        energy, made_by = (use.energy, self._made_by()) if use.ran else (None, None)
        return await self._commits.commit(claim, outcome, queue, energy=energy, made_by=made_by)

    def _made_by(self) -> dict[str, str]:
        """Whom a row names that comes to nothing: the engine that was asked for it."""
        told = {name: str(getattr(self.card, name)) for name in SIGNED}
        return told | {"engine_version": self.version() or self.card.engine_version}

    async def _attempt(self, claim: Claim, use: Use) -> Outcome:
        begun_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, claim.seconds_left)) as time_left:
                work = await claim.input(self._store)
                with use:
                    product = await self._runner(claim, work)
                if isinstance(product, Answer):
                    prove(product)
        except Unavailable as error:
            self.meter.lose(use)  # the engine never got the job
            return await self._step_aside(claim, error)
        except Exception as error:  # noqa: BLE001 - whatever a job raises becomes its outcome
            ended_s = _failed_s(error)
            if time_left.expired() and ended_s >= (time_left.when() or 0.0):
                return out_of_time(claim)
            self._note_fault(error, after_s=ended_s - begun_s)
            return normalise(error, claim)
        if isinstance(product, HandedOn):
            return Outcome(Verdict.CONTINUES)
        if isinstance(product, Unfolded):
            return Outcome(Verdict.UNFOLDS)
        return Outcome(Verdict.SUCCEEDED, product)

    async def _step_aside(self, claim: Claim, error: Unavailable) -> Outcome:
        """Give the job back after a pause: a store that is full must not use up every document's attempts.

        Nor must an engine that others use too: that it has no room says that this worker sends too much.
        """
        log.warning("job %s goes back: %s", claim.fence.job, error)
        if isinstance(error, Full):
            return Outcome(Verdict.GIVE_BACK, pause_s=FULL_PAUSE_S)
        if isinstance(error, Busy):
            self.quick_faults += 1
            await asyncio.sleep(min(error.retry_after_s, LONGEST_PAUSE_S))
        else:
            self.on_engine_lost()
            await self._rest(STORE_PAUSE_S if error.code != AWAY else self.rest_s)
        return Outcome(Verdict.GIVE_BACK)

    async def _rest(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.hands.leaving else pause_s):
                await self._stir.wait()

    def _note_fault(self, error: Exception, *, after_s: float) -> None:
        if isinstance(error, EngineDied):
            self.on_engine_lost()
        elif isinstance(error, EngineFault | TimeoutError) and after_s < QUICK_FAULT_S:
            self.quick_faults += 1


def _failed_s(error: Exception) -> float:
    """When the attempt failed: it may have taken a while to tell whose fault that was."""
    known_s = error.failed_s if isinstance(error, EngineFault) else None
    return asyncio.get_running_loop().time() if known_s is None else known_s


def _nothing() -> None:
    """Nobody listens."""
