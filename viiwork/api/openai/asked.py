"""From a request of the OpenAI API to jobs that can be submitted: which lane, which model, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from viiwork.api.intake import Intake
from viiwork.api.openai.answers import Facts
from viiwork.api.openai.bodies import AnyBody
from viiwork.api.openai.faults import TOO_LONG
from viiwork.api.openai.orders import CHARACTERS_A_TOKEN, context_of, jobs_of, parts_of
from viiwork.api.scales import Misfit
from viiwork.api.work import Sender, fingerprint
from viiwork.errors import ModelNotServed, Unavailable, UsageError
from viiwork.jobs import READER_MODEL, Job, Lane
from viiwork.store.accounts import Tab
from viiwork.store.ears import Mark
from viiwork.store.express import express
from viiwork.store.gathering import Gathering

LANE = "x-viiwork-lane"
KEPT_S = 3600.0
"""An answer that somebody waited for is kept so long, unless it was asked under an Idempotency-Key."""
MOST_CHARACTERS_A_TOKEN = 32
"""More than this no text of words has for each of a tokenizer's tokens."""


@dataclass(slots=True)
class Asked:
    """A request on its way: its jobs, and how many others' stood before them."""

    body: AnyBody
    jobs: Sequence[Job]
    facts: Facts
    again: bool = False
    """It came before under the same Idempotency-Key: its jobs may have ended already."""
    position: int = 0
    tab: Tab | None = None
    """What its jobs go on."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Of its jobs."""
        return tuple(job.id for job in self.jobs)

    @property
    def headers(self) -> dict[str, str]:
        """What is known of it before its answer."""
        return {"x-viiwork-job": self.facts.job, "x-viiwork-queue-position": str(self.position)}

    async def submit(self, desk: Intake, asker: Gathering, *, heard: bool) -> None:
        """Let the store have it. Raises Busy, RateLimited, QuotaExceeded, StoreUnavailable."""
        most = desk.settings.queue.max_backlog
        self.position = await express(desk.store, asker, self.jobs, max_backlog=most, heard=heard, tab=self.tab)


def lane_of(request: Request, body: AnyBody) -> Lane:
    """The lane that its header names, else its `service_tier`; interactive without either. Raises UsageError."""
    said = request.headers.get(LANE)
    if said is None:
        return body.lane
    try:
        return Lane(said.strip().lower())
    except ValueError as error:
        raise UsageError(f"{LANE}: must be interactive or batch.", param=LANE) from error


async def asked_of(desk: Intake, mark: Mark, body: AnyBody, who: Sender, lane: Lane) -> Asked:
    """The jobs of a request, weighed. Raises ModelNotServed, UsageError for a prompt that cannot be taken, Conflict."""
    model = await model_of(desk, body.model)
    fresh = mark.new_id()
    first = await desk.admit(who, lambda: _print_of(body, lane), fresh)
    context_tokens = context_of(await desk.fleet(), model)
    jobs = jobs_of(
        body,
        model,
        ids_of(first, parts_of(body)),
        tenant=who.tenant,
        lane=lane,
        timeout_s=desk.settings.queue.job_timeout_s,
        context_tokens=context_tokens,
    )
    for job in jobs:
        check_length(job, context_tokens)
    kept_s = KEPT_S if who.key is None else None
    weighed = [_fit(job) for job in await desk.weighed(jobs)]
    kept = [job.model_copy(update={"keep_s": kept_s}) for job in weighed]
    facts = Facts(job=first, model=model, created_ms=created_ms(first), lane=lane)
    return Asked(body, kept, facts, again=first != fresh, tab=who.tab)


async def model_of(desk: Intake, wanted: str) -> str:
    """The model to run on. Raises Unavailable for one that was served before: its worker may be starting again."""
    try:
        return await desk.model(wanted)
    except ModelNotServed as error:
        if wanted == READER_MODEL:
            raise
        try:
            await desk.store.model_card(wanted)
        except ModelNotServed:
            raise error from None
        message = "model: nobody serves it just now; it was served before."
        raise Unavailable(message, hint="Try again in a moment.", code="model_not_ready", param="model") from error


def check_length(job: Job, context_tokens: int) -> None:
    """Raises UsageError for a text that no tokenizer gets into the context: counting it would take long."""
    least = job.prompt_tokens * CHARACTERS_A_TOKEN // MOST_CHARACTERS_A_TOKEN
    if context_tokens and least > context_tokens:
        message = f"messages: the prompt has {least:,} tokens or more; {job.model} takes {context_tokens:,}."
        raise UsageError(message, code=TOO_LONG, param="messages")


def ids_of(first: str, count: int) -> list[str]:
    """The ids of the jobs of one request."""
    return [first, *(f"{first}-{place}" for place in range(1, count))]


def created_ms(job_id: str) -> int:
    """When an id was made, which it says itself: Unix milliseconds."""
    moment = 0
    for letter in job_id[4:14]:
        moment = moment * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    return moment


def _fit(job: Job | Misfit) -> Job:
    if isinstance(job, Misfit):
        raise job.error()
    return job


def _print_of(body: AnyBody, lane: Lane) -> str:
    return fingerprint(type(body).__name__, [body.model_dump(mode="json", exclude_defaults=True), lane])
