"""The short way through the store for who waits for an answer: taken in by one trip, and its end read by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viiwork.jobs import Fault, Job, State
from viiwork.store.accounts import Tab, refusal
from viiwork.store.facade import Store
from viiwork.store.gathering import Gathering
from viiwork.store.records import result_of
from viiwork.store.said import EARS_MS
from viiwork.store.scripts import Call
from viiwork.store.steering import READ_AHEAD
from viiwork.store.trip import Command
from viiwork.work import Answer

ENDS = (
    *("state", "created_ms", "started_ms", "result", "result_blob"),
    *("fault_code", "fault_message", "last_result"),
)
"""What of a record tells how its job ended."""
NO_FENCE = ("", 0, "")
"""No job submits them."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job stands; `state` is None when it is no longer kept."""

    state: State | None
    answer: Answer | None = None
    fault: Fault | None = None
    waited_ms: int = 0
    """From its submission to the beginning of its last attempt."""


async def express(
    store: Store,
    asker: Gathering,
    jobs: Sequence[Job],
    *,
    max_backlog: int,
    heard: bool = False,
    tab: Tab | None = None,
) -> int:
    """Take jobs of one queue in and release what there is room for; answers how many stood before them in their queue.

    `heard` says that somebody listens while they are written; they go on `tab`, all of them or none. Raises Busy when
    the tenant has too many unfinished ones, RateLimited and QuotaExceeded by the tab's limits, UsageError for more at
    once than these ever let in, StoreUnavailable.
    """
    queue = jobs[0].queue
    if tab:
        tab.check_at_once(jobs)
    jobs, meter = tab.charged(jobs) if tab else (jobs, None)
    entries, _ = await store.flat(jobs)
    before: list[Call | Command] = [("HMGET", f"{store.prefix}depth", f"{queue}|waiting", f"{queue}|queued")]
    if heard:  # said only once they run, a first token that was quicker would come with the answer's end
        before += [("SET", f"{store.prefix}ears:{job.id}", "1", "PX", str(EARS_MS)) for job in jobs]
    offer = Call("submit", (*NO_FENCE, max_backlog, *(field for entry in entries for field in entry)))
    after = [Call("release", (store.envelope, READ_AHEAD, queue)), *([meter.call] if meter else [])]
    replies = await asker.call(store, [*before, offer, *after])
    depth, taken = replies[0], replies[len(before)]
    if meter:
        meter.hear(replies[-1])
    refused = refusal(taken)
    if refused is not None or taken < len(jobs):
        await store.discard_unnamed(entries)
    if refused is not None:
        raise refused
    return sum(int(count or 0) for count in depth) if isinstance(depth, list) else 0


async def ends(store: Store, asker: Gathering, job_ids: Sequence[str]) -> list[Ended]:
    """How these jobs stand, with what came of those that have ended. Raises StoreUnavailable."""
    records = await asker.read([("HMGET", f"{store.prefix}job:{job_id}", *ENDS) for job_id in job_ids])
    return [await _end(store, dict(zip(ENDS, record, strict=True))) for record in records]


async def _end(store: Store, record: dict[str, str | None]) -> Ended:
    known = {name: value for name, value in record.items() if value}
    if "state" not in known:
        return Ended(None)
    blob = known.get("result_blob")
    raw = await store.blobs.read(blob) if blob else known.get("result", "")
    result = result_of(known, raw)
    waited_ms = int(known.get("started_ms", 0)) - int(known["created_ms"])
    return Ended(State(known["state"]), result.answer, result.fault, max(0, waited_ms))
