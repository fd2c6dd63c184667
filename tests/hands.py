"""A worker's hands on a store, without a process: they beat, pop hints, claim and commit, one step at a time."""

from __future__ import annotations

import asyncio
import copy
import json
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.workers import make_job
from viiwork.jobs import Fault, Job, Lane, Settle, State, TaskName, child_id, new_id
from viiwork.queues import HintId, queue_name
from viiwork.roster import WorkerCard
from viiwork.store import Fence, Store
from viiwork.store.leases import Claim, Stale, Verdict, claim_call, commit_call, read_claim
from viiwork.store.upkeep import Upkeep
from viiwork.work import Answer, ReadInput

ANSWER = Answer(text="done")
FAULT = Fault(code="engine_fault", message="The card fell silent.")
SLICE, FEW = 50, 10
"""Jobs that one script looks at, and that it ends, at most (`lib.lua`)."""
SAID: dict[Verdict, Answer | Fault] = {Verdict.SUCCEEDED: ANSWER, Verdict.FAILED: FAULT, Verdict.RETRY: FAULT}


class Hands:
    """One life of one worker, as far as the store can tell."""

    def __init__(self, store: Store, name: str = "gpu0", *, model: str = "noop", slots: int = 4) -> None:
        self.store = store
        self.card = WorkerCard(
            name=f"{name}@here",
            incarnation=f"{name}-{secrets.token_hex(4)}",
            host="here",
            pid=4242,
            engine="noop",
            model=model,
            slots=slots,
            context_tokens=4096,
        )

    async def beat(self, *held: Fence) -> dict[str, str]:
        """Say that this worker lives; answers the jobs that it has lost."""
        queues = [queue_name(lane, self.card.model) for lane in Lane]
        return await upkeep(self.store).beat(self.card, queues=queues, in_flight={}, held=held)

    async def pop(self, lane: Lane = Lane.BATCH) -> HintId | None:
        """What a BRPOP would get."""
        raw: Any = await self.store.client.rpop(f"{self.store.prefix}{queue_name(lane, self.card.model)}")
        return HintId.parse(json.loads(raw)["headers"]["id"]) if raw else None

    async def claim(self, hint: HintId, *, token: str = "", attempt: int = 0) -> Claim | Stale:
        token = token or secrets.token_hex(8)
        call = claim_call(job=hint.job, attempt=attempt or hint.attempt, token=token, card=self.card)
        return read_claim(await self.store.call(call.script, *call.args), job=hint.job, token=token)

    async def take(self, lane: Lane = Lane.BATCH) -> Claim:
        """Pop and claim the next job, which must be there to be had."""
        hint = await self.pop(lane)
        assert hint is not None, "the ready queue is empty"
        claim = await self.claim(hint)
        assert isinstance(claim, Claim), claim
        return claim

    async def commit(
        self,
        fence: Fence,
        verdict: Verdict = Verdict.SUCCEEDED,
        result: Answer | Fault | None = None,
        *,
        max_attempts: int = 4,
    ) -> tuple[str, str]:
        """(`ok` or `fenced`, the job's state afterwards)."""
        said = result or SAID.get(verdict)
        call = await commit_call(self.store, fence, verdict, said, max_attempts=max_attempts)
        answer, state = (await self.store.call(call.script, *call.args))[:2]
        return str(answer), str(state)

    async def do(self, verdict: Verdict = Verdict.SUCCEEDED, *, lane: Lane = Lane.BATCH) -> str:
        """Take the next job and end it; answers its id."""
        fence = (await self.take(lane)).fence
        assert (await self.commit(fence, verdict))[0] == "ok"
        await self.store.release(queue_name(lane, self.card.model))
        return fence.job

    async def do_all(self, lane: Lane = Lane.BATCH) -> list[str]:
        """Take and end jobs until none is left; answers their ids in the order they were taken."""
        done = []
        await self.store.release(queue_name(lane, self.card.model))
        while hint := await self.pop(lane):
            claim = await self.claim(hint)
            if isinstance(claim, Claim):
                await self.commit(claim.fence)
                done.append(hint.job)
            await self.store.release(queue_name(lane, self.card.model))
        return done


def upkeep(store: Store, *, lease_ttl_s: float = 60.0, hint_grace_s: float = 0.0) -> Upkeep:
    """The fleet's upkeep; hints count as vanished at once, workers as silent only after a long time."""
    return Upkeep(store, lease_ttl_s=lease_ttl_s, hint_grace_s=hint_grace_s)


async def moment_after(store: Store, ms: int) -> None:
    """Wait until Redis' clock is past this: what is kept until then is cleared away by a sweep only afterwards."""
    while await upkeep(store).server_ms() <= ms:
        await asyncio.sleep(0.001)


def kept_for(store: Store, ttl_ms: int) -> Store:
    """The same store, keeping results for another time; 0 is for ever."""
    other = copy.copy(store)
    other._ttl_ms = ttl_ms
    return other


async def open_batch(store: Store, *, tenant: str = "anna@lab", total: int = 0) -> str:
    batch = new_id("an")
    await store.open_batch(id=batch, tenant=tenant, lane=Lane.BATCH, model="noop", task="summarize", total=total)
    return batch


def items_of(batch: str, count: int, *, first: int = 0, tenant: str = "anna@lab", **fields: Any) -> list[Job]:
    """Jobs that are each an item of `batch`."""
    return [
        make_job(id=child_id(batch, str(n)), batch=batch, tenant=tenant, **fields) for n in range(first, first + count)
    ]


async def sealed_batch(store: Store, count: int, *, tenant: str = "anna@lab", **fields: Any) -> str:
    """A running batch of `count` jobs."""
    batch = await open_batch(store, tenant=tenant, total=count)
    await store.submit(items_of(batch, count, tenant=tenant, **fields))
    await store.seal(batch)
    return batch


def document(batch: str, index: int = 0, *, model: str = "noop", **fields: Any) -> Job:
    """The read job of one document of an analysis."""
    work = ReadInput(name=f"{index}.txt", text="Some text.", task="summarize", model=model)
    return make_job(
        id=child_id(batch, str(index)),
        batch=batch,
        model="read",
        task=TaskName.READ,
        input=work,
        settle=Settle.ON_FAILURE,
        **fields,
    )


def parts_of(item: str, batch: str, count: int, *, generation: str = "") -> list[Job]:
    """What a reader submits for one document: the merge that waits, then its parts."""
    stem = f"{item}g{generation}" if generation else item
    merge = f"{stem}m0"
    shared: dict[str, Any] = {"batch": batch, "item": item}
    head = make_job(id=merge, task=TaskName.MERGE, model="read", waits_for=count, **shared)
    parts = [make_job(id=f"{stem}l0p{n}", settle=Settle.NEVER, then=merge, **shared) for n in range(count)]
    return [head, *parts]


async def field(store: Store, job: str, name: str) -> str | None:
    """One field of a job's record."""
    (value,) = await store.read([("HGET", f"{store.prefix}job:{job}", name)])
    return value  # type: ignore[no-any-return] # redis-py's pipeline answers Any


async def state(store: Store, job: str) -> State:
    return (await store.job(job)).state


async def ready_hints(store: Store, queue: str = "batch.noop") -> list[HintId]:
    """The hints in a ready queue, next one first."""
    (raw,) = await store.read([("LRANGE", f"{store.prefix}{queue}", "0", "-1")])
    parsed = [HintId.parse(json.loads(message)["headers"]["id"]) for message in reversed(raw)]
    return [hint for hint in parsed if hint]


async def keys(store: Store, pattern: str = "*") -> list[str]:
    """The store's keys without their prefix, sorted."""
    found = [str(key) async for key in store.client.scan_iter(match=f"{store.prefix}{pattern}", count=1000)]
    return sorted(key.removeprefix(store.prefix) for key in found)


async def depths(store: Store) -> Counter[str]:
    """The depth counters that are not zero."""
    (found,) = await store.read([("HGETALL", f"{store.prefix}depth")])
    pairs = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    return Counter({name: int(value) for name, value in pairs.items() if int(value)})


async def recount(store: Store) -> Counter[str]:
    """The depths as the records themselves tell them."""
    jobs = await keys(store, "job:*")
    records = await store.read(("HMGET", f"{store.prefix}{job}", "queue", "state") for job in jobs) if jobs else []
    live = ("waiting", "queued", "running")
    return Counter(f"{queue}|{state}" for queue, state in records if state in live)


def states_of(rows: Sequence[Any]) -> Counter[str]:
    return Counter(row.state.value for row in rows)
