"""The end of an attempt, kept until the store has it: work that is done is never thrown away."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from viiwork.errors import StoreRefused, StoreUnavailable, ViiworkError
from viiwork.jobs import Fault
from viiwork.power.energy import Energy
from viiwork.retry import backoff_s
from viiwork.store import Store
from viiwork.store.leases import Claim, Verdict, commit_call
from viiwork.store.scripts import Call
from viiwork_workers.outcome import CANNOT_END, Outcome, where
from viiwork_workers.tick import Tick

log = logging.getLogger(__name__)

Spent = tuple[Energy | None, Mapping[str, str] | None]
"""What an attempt used of the cards, and whose engine that was."""

BLOB_AT = 5
"""Where the script `commit` takes the name of an answer's file."""

COMMIT_PAUSE_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""How long to wait before a commit is tried again; the last one repeats."""
REFUSALS = 6
"""So often in a row an end is refused by a script of ours before it is taken for one that cannot be committed."""


@dataclass(frozen=True, slots=True)
class End:
    """How a hint ended, for the transport and for Flower."""

    state: str
    fault: Fault | None = None
    counts: bool = field(default=False, compare=False)
    """Whether the store took it as the end of the job's attempt."""


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


class Commits:
    """Ends attempts, in round trips that all of a worker's jobs share."""

    def __init__(self, store: Store, tick: Tick, *, retries: Retries) -> None:
        self._store = store
        self._tick = tick
        self._retries = retries

    async def commit(
        self,
        claim: Claim,
        outcome: Outcome,
        queue: str,
        *,
        energy: Energy | None = None,
        made_by: Mapping[str, str] | None = None,
    ) -> End:
        """End the attempt, however long the store is away; an end that it refuses time and again becomes a failure.

        `energy` is what it used of the cards, and `made_by` tells whose engine that was; None where it never ran.
        """
        call, refusals = None, 0
        pause_s = self._retries.pause_s(claim.strikes) if outcome.verdict is Verdict.RETRY else outcome.pause_s
        for tries in range(1_000_000):
            try:
                if call is None:
                    call, outcome = await self._ending(claim, outcome, pause_s=pause_s, spent=(energy, made_by))
                answer, state, *woken = await self._tick.call(call, release=queue)
                await self._store.release(*woken)  # a merge whose last part this was need not wait for the upkeep
                if answer == "fenced":
                    await self._discard(call)
                return _end(answer, state, outcome)
            except StoreUnavailable as error:
                log.warning("job %s waits to be committed: %s", claim.fence.job, error)
                refusals = refusals + 1 if isinstance(error, StoreRefused) else 0
                if refusals == REFUSALS:
                    call, outcome = None, CANNOT_END
                await asyncio.sleep(COMMIT_PAUSE_S[min(tries, len(COMMIT_PAUSE_S) - 1)])
        return End("stale")

    async def _discard(self, call: Call) -> None:
        """Remove the file of an answer that nobody took: its analysis may have been deleted meanwhile."""
        blob = str(call.args[BLOB_AT])
        with suppress(OSError, ViiworkError):  # else the sweeper finds it
            if blob:
                await self._store.blobs.delete(blob)

    async def _ending(self, claim: Claim, outcome: Outcome, *, pause_s: float, spent: Spent) -> tuple[Call, Outcome]:
        """The call that ends the attempt, and as what: an end that was lost here would come back for ever."""
        (energy, made_by), most = spent, self._retries.max_attempts
        ends = partial(commit_call, self._store, claim.fence, max_attempts=most, energy=energy, made_by=made_by)
        try:
            return await ends(outcome.verdict, outcome.result, delay_s=pause_s, usage=outcome.usage), outcome
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, no record can hold this
            place = where(error)  # its text may quote the answer
        log.error("job %s came to what no record can hold: %s", claim.fence.job, place)
        return await ends(CANNOT_END.verdict, CANNOT_END.result), CANNOT_END


def _end(answer: str, state: str, outcome: Outcome) -> End:
    fault = outcome.result if isinstance(outcome.result, Fault) else None
    if answer == "fenced":
        return End("cancelled" if state == "cancelled" else "stale")
    return End(state, fault, counts=True)
