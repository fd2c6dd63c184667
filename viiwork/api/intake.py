"""Taking work in: whether the fleet takes any, which model serves it, and once only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from weakref import WeakValueDictionary

from viiwork.api.lately import Lately
from viiwork.api.pressure import Gauge
from viiwork.api.quota import check_documents, check_whole, go_on
from viiwork.api.requests import JobBody
from viiwork.api.scales import Misfit, Scales, misfits, with_weight
from viiwork.api.served import choose_model
from viiwork.api.uploads import discard
from viiwork.api.work import Item, Order, Sender, fingerprint, reading, single
from viiwork.callbacks.bureau import Bureau
from viiwork.documents.room import narrowest
from viiwork.documents.taskhash import task_hash
from viiwork.errors import Gone, NotFound, QuotaExceeded, RateLimited, StoreUnavailable, Unavailable, ViiworkError
from viiwork.jobs import BatchState, BatchStatus, Job, Status, child_id, new_id
from viiwork.roster import FleetStatus
from viiwork.settings import Settings
from viiwork.store import Store
from viiwork.store.said import listen
from viiwork.work import AnalysisTask, ChatInput, CompletionInput, EmbeddingInput, StepInput, TaskOptions

FLEET_AGE_S = 1.0
SLICE = 500
ANALYZE = "viiwork analyze PATH… --lane batch"
DURABILITY = "x-viiwork-durability"
PROMPTED = ChatInput | CompletionInput | EmbeddingInput


def print_of(body: JobBody) -> str:
    """Without defaults, so that a field that comes with a later version does not make another request of it."""
    return fingerprint("job", body.model_dump(mode="json", exclude_defaults=True))


class Intake:
    """The desk behind the POST routes."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self.callbacks = Bureau(store, settings)
        self.gauge = Gauge(store, min_free_bytes=settings.api.min_free_bytes)
        self._scales = Scales()
        self._fleet = Lately(store.fleet, age_s=FLEET_AGE_S)
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def fleet(self, *, fresh: bool = False) -> FleetStatus:
        """The fleet, at most a second old."""
        return await self._fleet.get(fresh=fresh)

    async def check_open(self, *, body_bytes: int = 0, fresh: bool = False) -> None:
        """Raises Unavailable while the fleet is shutting down, Busy or Full while there is no room.

        `body_bytes` is what is going to be written to disk. Asked before a body is read.
        """
        if (await self.fleet(fresh=fresh)).closing:
            message = "The fleet is shutting down and takes no new work."
            raise Unavailable(message, hint="Send it again once `viiwork up` runs.", code="closing")
        await self.gauge.check(body_bytes=body_bytes)

    async def model(self, wanted: str | None) -> str:
        """The model to run on; a worker that has only just joined counts."""
        try:
            return choose_model(wanted, (await self.fleet()).models)
        except ViiworkError:
            return choose_model(wanted, (await self.fleet(fresh=True)).models)

    async def submit_job(self, body: JobBody, who: Sender) -> Status:
        """One job on its own."""
        model = await self.model(body.model)
        await self.callbacks.check_request(body.callback_url, tenant=who.tenant)
        async with self.turn(who):
            fresh_id = new_id("job")
            job_id = await self.admit(who, partial(print_of, body), fresh_id)
            if job_id != fresh_id and await self._has_job(job_id):
                return await self.store.job(job_id)  # whatever serves its model by now
            job = single(body, model, who.tenant, job_id, self.settings.queue.job_timeout_s)
            (weighed,) = await self.weighed([job])
            if isinstance(weighed, Misfit):
                raise weighed.error()
            await self.store.submit([weighed], max_backlog=self.settings.queue.max_backlog, tab=who.tab)
            if body.stream:
                # Whoever asks for a stream comes to hear it. Said only when they come, a first token that was quicker
                # waited for the worker's next question: in 29 of 100 jobs the whole answer came at its end (measured).
                with suppress(StoreUnavailable):
                    await listen(self.store, job_id)
            return await self.store.job(job_id)

    async def weighed(self, jobs: Sequence[Job]) -> list[Job | Misfit]:
        """The jobs with the tokens of their prompts, where those can be counted here, or why one cannot be taken."""
        fleet, said = await self.fleet(), dict[str, Job | Misfit]()
        for model in {job.model for job in jobs}:
            of_model = [(job, job.input) for job in jobs if job.model == model and isinstance(job.input, PROMPTED)]
            weights = await self._scales.weigh([work for _, work in of_model], model, fleet)
            said |= {job.id: with_weight(job, one) for (job, _), one in zip(of_model, weights, strict=True)}
        return [said.get(job.id, job) for job in jobs]

    async def room(self, model: str, task: AnalysisTask, options: TaskOptions) -> None:
        """Raises UsageError when no worker of the model does such a task, or its options leave a document no room."""
        for unable in filter(
            None, misfits([StepInput(task=task, options=options, text="")], model, await self.fleet())
        ):
            raise unable.error()
        card = narrowest((worker.card for worker in (await self.fleet()).workers), model)
        card = card or await self.store.model_card(model)
        if card.context_tokens:  # else its worker does not tell
            await self._scales.check_room(card, task, options)

    async def submit_analysis(self, order: Order, who: Sender) -> BatchStatus:
        """All documents of an order. A retry with the same key goes on where the first try stopped.

        Blobs that no job names in the end are removed.
        """
        fresh_id = new_id("an")
        unsent = dict(enumerate(order.items))
        async with self.turn(who):
            try:
                check_documents(who.tab, order.lane, len(order.items), what="documents", command=ANALYZE)
                await self.callbacks.check_request(order.callback_url, tenant=who.tenant)
                if who.key is None:
                    await check_whole(self.store, who.tab, order.lane, len(order.items))
                batch_id = await self.admit(who, lambda: fingerprint("analysis", order.canonical()), fresh_id)
                known = await self.known(batch_id) if batch_id != fresh_id else None
                if known is None or known.state is BatchState.UPLOADING:
                    await self._submit_items(batch_id, order, unsent, who, again=known is not None)
                return await self.store.batch(batch_id)
            except BaseException as error:
                if who.key is None:  # nobody can come back for it
                    await self.give_up(fresh_id)
                elif isinstance(error, RateLimited | QuotaExceeded):
                    total = len(order.items)
                    await go_on(self.store, error, batch_id, tab=who.tab, lane=order.lane, total=total)
                raise
            finally:
                await discard(self.store.directory, [item.blob for item in unsent.values() if item.blob])

    async def _submit_items(
        self, batch_id: str, order: Order, unsent: dict[int, Item], who: Sender, *, again: bool
    ) -> None:
        """Submit in slices, taking out of `unsent` what the store has from now on."""
        await self.store.open_batch(
            id=batch_id,
            tenant=who.tenant,
            lane=order.lane,
            model=order.model,
            task=order.task.value,
            total=len(order.items),
            deadline_s=order.deadline_s,
            priority=order.priority,
            callback_url=order.callback_url,
            retain_s=None if order.retention_hours is None else order.retention_hours * 3600,
            metadata=order.metadata,
            task_hash=task_hash(order.task, order.options),
        )
        timeout_s = self.settings.queue.job_timeout_s
        for start in range(0, len(order.items), SLICE):
            indexes: Sequence[int] = range(start, min(start + SLICE, len(order.items)))
            if again:
                indexes = [i for i in indexes if not await self._has_job(child_id(batch_id, str(i)))]
            jobs = [
                reading(batch_id, order, index, unsent[index], tenant=who.tenant, timeout_s=timeout_s)
                for index in indexes
            ]
            offered = {index: unsent.pop(index) for index in indexes}
            try:
                await self.store.submit(jobs, max_backlog=self.settings.queue.max_backlog, tab=who.tab)
            except BaseException:
                unsent.update(await self._untaken(batch_id, offered))
                raise
        await self.store.seal(batch_id)

    async def _untaken(self, batch_id: str, offered: dict[int, Item]) -> dict[int, Item]:
        """What a submit that failed left outside; nothing if that cannot be told, for a job may need its blob."""
        try:
            return {i: item for i, item in offered.items() if not await self._has_job(child_id(batch_id, str(i)))}
        except ViiworkError:
            return {}

    async def durability(self) -> dict[str, str]:
        """A header that says what a power cut may still cost of what was taken in; asked once all of it is."""
        told = await self.store.confirm()
        return {DURABILITY: "synced" if told.synced else told.notice}

    async def known(self, batch_id: str) -> BatchStatus | None:
        """The batch of this id if there is one already."""
        try:
            return await self.store.batch(batch_id)
        except NotFound:
            return None

    async def _has_job(self, job_id: str) -> bool:
        try:
            await self.store.job(job_id)
        except NotFound:
            return False
        except Gone:
            return True
        return True

    async def give_up(self, batch_id: str) -> None:
        """Cancel a batch that will never be whole."""
        with suppress(ViiworkError):
            await self.store.cancel_batch(batch_id)

    async def admit(self, who: Sender, make_print: Callable[[], str], new: str) -> str:
        """The id that the sender's key stands for: `new`, unless the key came before."""
        if who.key is None:
            return new
        return await self.store.admit(tenant=who.tenant, key=who.key, fingerprint=make_print(), id=new)

    def turn(self, who: Sender) -> asyncio.Lock:
        """Two requests with one key take turns, so that the second sees all that the first has done."""
        if who.key is None:
            return asyncio.Lock()
        return self._locks.setdefault((who.tenant, who.key), asyncio.Lock())
