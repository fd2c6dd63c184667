"""The store as workers see it: what is claimed, and how an attempt at it is committed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import TypeAdapter

from viiwork.jobs import Fault, Lane, TaskName
from viiwork.power.energy import Energy
from viiwork.roster import WorkerCard
from viiwork.store.facade import Store
from viiwork.store.intake import Fence
from viiwork.store.records import INLINE_BYTES, result_json
from viiwork.store.scripts import Call
from viiwork.store.sharing import whole
from viiwork.wire import SCHEMA
from viiwork.work import Answer, JobInput, Usage

INPUT: TypeAdapter[JobInput] = TypeAdapter(JobInput)
MOST_TOKENS = 1_000_000_000
"""Of all requests of one document. What claims more would stop the fleet's counts: Redis' end at 2^63."""


class Verdict(StrEnum):
    """What a worker says of an attempt."""

    SUCCEEDED = "succeeded"
    CONTINUES = "continues"
    UNFOLDS = "unfolds"
    FAILED = "failed"
    EXPIRED = "expired"
    RETRY = "retry"
    CRASHED = "crashed"
    GIVE_BACK = "give_back"


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands."""

    fence: Fence
    seconds_left: float
    ends_by: Literal["timeout", "deadline"]
    """What `seconds_left` counts down to."""
    task: TaskName
    lane: Lane
    model: str
    tenant: str
    batch: str
    item: str
    input_json: str
    input_blob: str
    strikes: int = 0
    suspect: bool = False
    generation: str = ""
    """Set when the whole document was started again: the names of its parts must be new ones."""
    cost_tokens: int = 1
    """What it is expected to take: its prompt, and the most that it may write."""
    same_as: str = ""
    """The document of its batch with the same content, whose row holds for this one too."""
    digest: str = ""
    """Of a document: the same for those that read the same."""

    async def input(self, store: Store) -> JobInput:
        """The job's input, from its record or the blob store. Raises NotFound when a blob is missing."""
        raw = (await store.blobs.read(self.input_blob)) if self.input_blob else self.input_json
        return await whole(store.blobs, INPUT.validate_json(raw))


@dataclass(frozen=True, slots=True)
class Stale:
    """A hint whose job was not to be had: cancelled, done, or claimed by another."""

    state: str


def claim_call(*, job: str, attempt: int, token: str, card: WorkerCard) -> Call:
    """The call that claims a job; safe to repeat with the same token."""
    return Call("claim", (job, attempt, token, card.incarnation, card.name, SCHEMA))


def read_claim(reply: Sequence[str | int], *, job: str, token: str) -> Claim | Stale:
    """What `claim` answered."""
    if reply[0] != "run":
        return Stale(str(reply[1]))
    attempt, left, ends_by, task, queue, tenant, batch, item, body, blob, *more = reply[1:]
    strikes, suspect, generation, cost, same, digest = more
    lane, _, model = str(queue).partition(".")
    return Claim(
        fence=Fence(job, int(attempt), token),
        seconds_left=int(left) / 1000,
        ends_by="deadline" if ends_by == "deadline" else "timeout",
        task=TaskName(str(task)),
        lane=Lane(lane),
        model=model,
        tenant=str(tenant),
        batch=str(batch),
        item=str(item),
        input_json=str(body),
        input_blob=str(blob),
        strikes=int(strikes),
        suspect=bool(int(suspect)),
        generation=str(generation),
        cost_tokens=int(cost),
        same_as=str(same),
        digest=str(digest),
    )


async def commit_call(
    store: Store,
    fence: Fence,
    verdict: Verdict,
    result: Answer | Fault | None,
    *,
    max_attempts: int,
    delay_s: float = 0.0,
    energy: Energy | None = None,
    usage: Usage | None = None,
    made_by: Mapping[str, str] | None = None,
) -> Call:
    """The call that ends an attempt; a large result goes to the blob store first.

    `delay_s` is the pause before a RETRY goes back to the backlog. `energy` is what the attempt used; None where it
    never ran, which is nothing. `usage` is of an engine whose answer could not be used; `made_by` tells which that was.
    """
    body = result_json(result) if result else ""
    blob = ""
    if len(body) > INLINE_BYTES:
        blob, body = (await store.blobs.put(body.encode())).id, ""
    usage = result.usage if isinstance(result, Answer) else usage
    counts = (usage.prompt_tokens, usage.output_tokens) if usage else (0, 0)
    tokens = (min(max(0, count), MOST_TOKENS) for count in counts)
    ending = (verdict.value, body, blob, *tokens, max_attempts, int(delay_s * 1000), *_spent(energy))
    who = json.dumps({name: said for name, said in made_by.items() if said}) if made_by else ""
    return Call("commit", (fence.job, fence.attempt, fence.token, *ending, who))


def _spent(energy: Energy | None) -> tuple[int | str, int, int]:
    """Millijoules, or an empty string where nothing was measured; 1 where that is all of it; 1 of simulated cards."""
    if energy is None:
        return 0, 1, 0
    joules = energy.joules
    whole = joules is not None and energy.unknown_s <= 0.0
    return "" if joules is None else round(joules * 1000), int(whole), int(energy.simulated)
