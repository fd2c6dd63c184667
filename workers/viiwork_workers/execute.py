"""One pipeline for every job: claim → run → normalise → commit."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from viiwork.errors import (
    Busy,
    DocumentError,
    EngineDied,
    EngineFault,
    JobRefused,
    NotFound,
    StoreRefused,
    StoreUnavailable,
    Unavailable,
    ViiworkError,
)
from viiwork.jobs import Fault, State
from viiwork.queues import HintId
from viiwork.retry import backoff_s
from viiwork.roster import WorkerCard
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim, Stale, Verdict, claim_call, commit_call, read_claim
from viiwork.store.scripts import Call
from viiwork.work import Answer, JobInput
from viiwork_workers.proof import prove
from viiwork_workers.tick import Tick

log = logging.getLogger(__name__)

ALONE_PAUSE_S = 0.3
COMMIT_PAUSE_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before a commit is tried again; the last one repeats. Work that is done is never thrown away."""


STORE_PAUSE_S = 2.0
"""How long a job that met a full or silent store keeps its slot before it goes back, so that it does not spin."""

LONGEST_PAUSE_S = 30.0
"""The same for one that met an engine with no room, whatever that asks for."""

REFUSALS = 6
"""So often in a row an end is refused by a script of ours before it is taken for one that cannot be committed."""

UNSTORABLE = Fault(code="internal", message="The store could not take what this job came to.")

QUICK_FAULT_S = 1.0
"""An engine that fails jobs sooner than this would eat the whole queue: the worker takes fewer then."""


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What a CPU step returns when further jobs finish its item."""


Product = Answer | HandedOn
Runner = Callable[[Claim, JobInput], Awaitable[Product]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as it is committed."""

    verdict: Verdict
    result: Answer | Fault | None = None


CANNOT_END = Outcome(Verdict.FAILED, UNSTORABLE)


@dataclass(frozen=True, slots=True)
class End:
    """How a hint ended, for the transport and for Flower."""

    state: str
    fault: Fault | None = None


@dataclass(slots=True)
class Hands:
    """The jobs that this worker holds: their fences, and the tasks that run them."""

    _held: dict[str, tuple[Fence, asyncio.Task[Outcome]]] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)
    leaving: bool = False

    def take(self, fence: Fence, task: asyncio.Task[Outcome]) -> None:
        self._held[fence.job] = (fence, task)

    def drop(self, fence: Fence) -> None:
        self._held.pop(fence.job, None)
        self._lost.pop(fence.job, None)

    def fences(self) -> list[Fence]:
        return [fence for fence, _ in list(self._held.values())]

    def abort(self, job: str, state: str) -> None:
        """Stop a job that is no longer ours, its record being in `state`; must run on the engine's loop."""
        held = self._held.get(job)
        if held:
            self._lost[job] = state
            held[1].cancel()

    def why_lost(self, fence: Fence) -> str | None:
        """The state of a job's record when it was taken from us."""
        return self._lost.get(fence.job)

    def abort_all(self) -> None:
        """Stop everything; must run on the engine's loop."""
        for _, task in list(self._held.values()):
            task.cancel()


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a job is tried that meets an engine's fault, and how long it pauses before the next time."""

    max_attempts: int = 4
    base_s: float = 1.0
    cap_s: float = 60.0

    def pause_s(self, strikes: int) -> float:
        """Drawn by lot, up to a bound that doubles with each strike."""
        unit = random.random()  # noqa: S311 - to spread retries, not to keep a secret
        return backoff_s(strikes, base_s=self.base_s, cap_s=self.cap_s, unit=unit)


class Executor:
    """Runs hints on the engine's loop. `runner` is an engine, or the reader's steps."""

    def __init__(self, store: Store, runner: Runner, *, card: WorkerCard, retries: Retries) -> None:
        self._store = store
        self._runner = runner
        self.card = card
        self._retries = retries
        self._tick = Tick(store)
        self._slots = asyncio.Semaphore(card.slots)
        self._door = asyncio.Event()
        self._door.set()
        self.hands = Hands()
        self.quick_faults = 0
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
                return await self._commit(claim, Outcome(Verdict.GIVE_BACK), queue)
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
        attempt = asyncio.ensure_future(self._attempt(claim))
        self.hands.take(claim.fence, attempt)
        try:
            return await self._commit(claim, await attempt, queue)
        except asyncio.CancelledError:
            if not attempt.cancelled():
                raise
            lost = self.hands.why_lost(claim.fence)
            if self.hands.leaving and lost is None:
                return await self._commit(claim, Outcome(Verdict.GIVE_BACK), queue)
            return End("cancelled" if lost == "cancelled" else "stale")
        finally:
            self.hands.drop(claim.fence)

    async def _attempt(self, claim: Claim) -> Outcome:
        begun_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, claim.seconds_left)) as time_left:
                product = await self._runner(claim, await claim.input(self._store))
                if isinstance(product, Answer):
                    prove(product)
        except Unavailable as error:
            return await self._step_aside(claim, error)
        except Exception as error:  # noqa: BLE001 - whatever a job raises becomes its outcome
            ended_s = _failed_s(error)
            if time_left.expired() and ended_s >= (time_left.when() or 0.0):
                return out_of_time(claim)
            self._note_fault(error, after_s=ended_s - begun_s)
            return normalise(error, claim)
        if isinstance(product, HandedOn):
            return Outcome(Verdict.CONTINUES)
        return Outcome(Verdict.SUCCEEDED, product)

    async def _step_aside(self, claim: Claim, error: Unavailable) -> Outcome:
        """Give the job back after a pause: a store that is full must not use up every document's attempts.

        Nor must an engine that others use too: that it has no room says that this worker sends too much.
        """
        log.warning("job %s goes back: %s", claim.fence.job, error)
        if isinstance(error, Busy):
            self.quick_faults += 1
            await asyncio.sleep(min(error.retry_after_s, LONGEST_PAUSE_S))
        else:
            self.on_engine_lost()
            await asyncio.sleep(STORE_PAUSE_S)
        return Outcome(Verdict.GIVE_BACK)

    def _note_fault(self, error: Exception, *, after_s: float) -> None:
        if isinstance(error, EngineDied):
            self.on_engine_lost()
        elif isinstance(error, EngineFault | TimeoutError) and after_s < QUICK_FAULT_S:
            self.quick_faults += 1

    async def _commit(self, claim: Claim, outcome: Outcome, queue: str) -> End:
        call, refusals = None, 0
        pause_s = self._retries.pause_s(claim.strikes) if outcome.verdict is Verdict.RETRY else 0.0
        for tries in range(1_000_000):
            try:
                if call is None:
                    call, outcome = await self._ending(claim, outcome, pause_s=pause_s)
                answer, state, *woken = await self._tick.call(call, release=queue)
                await self._store.release(*woken)  # a merge whose last part this was need not wait for the upkeep
                return _end(answer, state, outcome)
            except StoreUnavailable as error:
                log.warning("job %s waits to be committed: %s", claim.fence.job, error)
                refusals = refusals + 1 if isinstance(error, StoreRefused) else 0
                if refusals == REFUSALS:
                    call, outcome = None, CANNOT_END
                await asyncio.sleep(COMMIT_PAUSE_S[min(tries, len(COMMIT_PAUSE_S) - 1)])
        return End("stale")

    async def _ending(self, claim: Claim, outcome: Outcome, *, pause_s: float) -> tuple[Call, Outcome]:
        """The call that ends the attempt, and as what: an end that was lost here would come back for ever."""
        most = self._retries.max_attempts
        said = outcome.verdict, outcome.result
        try:
            return await commit_call(self._store, claim.fence, *said, max_attempts=most, delay_s=pause_s), outcome
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no record can hold this
            where = _where(error)  # its text may quote the answer
        log.error("job %s came to what no record can hold: %s", claim.fence.job, where)
        said = CANNOT_END.verdict, CANNOT_END.result
        return await commit_call(self._store, claim.fence, *said, max_attempts=most), CANNOT_END


def out_of_time(claim: Claim) -> Outcome:
    """What the end of an attempt's time means: its deadline has passed, or it ran for too long."""
    if claim.ends_by == "deadline":
        fault = Fault(code="expired", message="The job's deadline passed while it ran.", hint="Give it more time.")
        return Outcome(Verdict.EXPIRED, fault)
    fault = Fault(code="timeout", message="The job ran longer than its time limit.", hint="Raise timeout_s.")
    return Outcome(Verdict.FAILED, fault)


def normalise(error: Exception, claim: Claim) -> Outcome:
    """What an exception means for the job: its own fault fails it, anybody else's is worth another attempt."""
    if isinstance(error, TimeoutError):  # not the job's own time limit, or nobody would ask
        error = EngineFault("The engine did not answer in time.", hint="The job is tried again.")
    if isinstance(error, JobRefused | DocumentError | NotFound):
        return Outcome(Verdict.FAILED, Fault(code=error.code, message=error.message, hint=error.hint))
    if isinstance(error, ViiworkError):
        log.warning("job %s goes back: %s", claim.fence.job, error.code)
        fault = Fault(code=error.code, message=error.message, hint=error.hint)
        return Outcome(verdict_of(error), fault)
    # The exception's text may quote the document: only its type may be logged.
    log.error("job %s met a defect: %s", claim.fence.job, _where(error))
    return Outcome(Verdict.FAILED, Fault(code="internal", message="The worker met a defect while it ran this job."))


def verdict_of(error: ViiworkError) -> Verdict:
    """A dead engine makes suspects, a fault is a strike, and what no retry helps is the end."""
    if isinstance(error, EngineDied):
        return Verdict.CRASHED
    return Verdict.RETRY if error.retryable else Verdict.FAILED


def _failed_s(error: Exception) -> float:
    """When the attempt failed: it may have taken a while to tell whose fault that was."""
    known_s = error.failed_s if isinstance(error, EngineFault) else None
    return asyncio.get_running_loop().time() if known_s is None else known_s


def _nothing() -> None:
    """Nobody listens."""


def _where(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


def _end(answer: str, state: str, outcome: Outcome) -> End:
    fault = outcome.result if isinstance(outcome.result, Fault) else None
    if answer == "fenced":
        return End("cancelled" if state == "cancelled" else "stale")
    return End(state, fault)
