"""A batch's file on its way in: all lines are checked first, then each becomes a job, in constant memory.

A job's id is made from its line's number, and what has been done is written down: whoever takes the step over after a
crash, or when there is room again, goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from viiwork.api.openai.batchlines import Target, body_of, jobs_of_line, misfit
from viiwork.api.openai.orders import context_of
from viiwork.api.pressure import refusal
from viiwork.api.scales import Misfit, Scales, with_weight
from viiwork.api.served import choose_model
from viiwork.batches.batchobject import Facts
from viiwork.batches.linecheck import LineCheck, LineFault, Request, read
from viiwork.batches.linecut import FileLine, LineCut
from viiwork.errors import Busy, Conflict, Full, ModelNotServed, QuotaExceeded, StoreUnavailable
from viiwork.jobs import READER_MODEL, Job, child_id
from viiwork.roster import FleetStatus
from viiwork.store import Store, filebatches
from viiwork.store.leases import Claim
from viiwork.work import ChatInput, CompletionInput, EmbeddingInput, LinesInput
from viiwork_workers.linefiles import Asked, LineFiles, Turn, groups, has_files
from viiwork_workers.outcome import where

log = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
SLICE, SLICE_BYTES = 500, 1024 * 1024
Line = tuple[Request, list[Job]]
"""A line, and the jobs that it becomes."""
PROMPTED = ChatInput | CompletionInput | EmbeddingInput
OTHERS = "Other work waits for the readers: the documents inside its lines are read by turns."
DEFECT = LineFault(code="internal", message="The service met a defect while it took the file in.")


class LinesIn:
    """Runs the step that fills a batch."""

    def __init__(
        self, store: Store, files: LineFiles, *, max_line_bytes: int, max_backlog: int, timeout_s: float
    ) -> None:
        self._store, self._files = store, files
        self._max_line_bytes, self._max_backlog, self._timeout_s = max_line_bytes, max_backlog, timeout_s
        self._scales = Scales()

    async def __call__(self, claim: Claim, work: LinesInput) -> None:
        """Raises StoreUnavailable, and Full while there is no room: the step comes back then."""
        batch = await filebatches.known(self._store, work.batch)
        if batch is None or batch.stage not in ("validating", "in_progress"):
            return  # it was cancelled, or its time is over
        try:
            async with self._store.blobs.at_hand(work.blob) as path:
                if batch.stage == "in_progress" or await self._is_valid(work, path):
                    await self._submit(work, path)
        except Conflict:
            return  # cancelled, or out of time, since
        except (StoreUnavailable, Full):
            raise
        except Exception as error:  # noqa: BLE001 - a batch must come to an end, whatever is wrong with its file
            place = where(error)  # its text may quote a line
            log.error("job %s could not take the lines of %s in: %s", claim.fence.job, work.batch, place)  # noqa: TRY400
            await self._refuse(work, [DEFECT])

    async def _is_valid(self, work: LinesInput, path: Path) -> bool:
        stop = threading.Event()
        try:
            found = await asyncio.to_thread(check, path, work.endpoint, self._max_line_bytes, stop)
        finally:
            stop.set()
        if not found.faults and (unserved := await self._unserved(found.model)) is not None:
            found.faults.append(unserved)
        if found.faults:
            await self._refuse(work, found.faults)
            return False
        await filebatches.checked(self._store, work.batch, model=found.model, lines=found.lines)
        return True

    async def _unserved(self, model: str) -> LineFault | None:
        """That nobody serves a model, and what is served; None for one that was: its workers may come back."""
        try:
            choose_model(model, (await self._store.fleet()).models)
        except ModelNotServed as error:
            if model != READER_MODEL:
                with suppress(ModelNotServed):
                    await self._store.model_card(model)
                    return None
            return LineFault(code=error.code, message=f"body.{error}", param="body.model")
        return None

    async def _refuse(self, work: LinesInput, faults: Sequence[LineFault]) -> None:
        told = json.dumps([fault.model_dump(exclude_none=True) for fault in faults])
        await filebatches.refuse(self._store, work.batch, told)

    async def _submit(self, work: LinesInput, path: Path) -> None:
        batch = await filebatches.known(self._store, work.batch)
        if batch is None:
            return
        held, turn = batch.status.held is not None, Turn()
        with closing(slices(path, self._max_line_bytes)) as lines:
            while some := await asyncio.to_thread(next, lines, None):
                if left := await new_lines(self._store, work.batch, some):
                    await self._submit_held(batch, left, turn, account=work.account)
                    if held:  # told until a slice has got in
                        held = await self._goes_on(work.batch)
        await self._store.seal(work.batch)

    async def _submit_held(self, batch: Facts, lines: Sequence[FileLine], turn: Turn, *, account: str) -> None:
        """Take lines in; what holds them back is told with the batch. Raises as below."""
        try:
            await self._submit_slice(batch, lines, turn, account=account)
        except Full as error:
            await filebatches.hold(self._store, batch.status.id, error.message)
            raise

    async def _goes_on(self, batch: str) -> bool:
        await filebatches.hold(self._store, batch, "")
        return False

    async def _submit_slice(self, batch: Facts, lines: Sequence[FileLine], turn: Turn, *, account: str) -> None:
        """Raises Conflict when the batch takes no more, Full while there is no room, or its sender may have no more."""
        await self._check_room()
        fleet, model = await self._store.fleet(), batch.status.model
        context_tokens = context_of(fleet, model)
        target = Target(batch.status.id, batch.status.tenant, batch.endpoint, model, self._timeout_s, context_tokens)
        for some in groups(await asyncio.to_thread(_asked, lines, target)):
            asked = [await self._files.text(line, target, turn.texts) for line in some]
            jobs = await self._weighed(await asyncio.to_thread(_jobs, asked, target), target, fleet)
            charged = [job.model_copy(update={"account": account}) for job in jobs] if account else jobs
            try:
                await self._store.submit(charged, max_backlog=self._max_backlog)
            except (Busy, QuotaExceeded) as error:  # its window says how long that may last
                raise Full(error.message, hint=error.hint) from error
            if any(has_files(body) for _, body in some):
                await self._check_room()
                if turn.is_over(await self._store.fleet()):
                    raise Full(OTHERS)

    async def _weighed(self, lines: Sequence[Line], target: Target, fleet: FleetStatus) -> list[Job]:
        """The jobs with the tokens of their prompts; those that cannot be taken fail by themselves."""
        works = [job.input for _, jobs in lines for job in jobs if isinstance(job.input, PROMPTED)]
        weights = iter(await self._scales.weigh(works, target.model, fleet) if works else [])
        weighed: list[Job] = []
        for asked, jobs in lines:
            said = [with_weight(job, next(weights)) if isinstance(job.input, PROMPTED) else job for job in jobs]
            unfit = next((one for one in said if isinstance(one, Misfit)), None)
            weighed += [misfit(asked, target, unfit)] if unfit else [one for one in said if isinstance(one, Job)]
        return weighed

    async def _check_room(self) -> None:
        pressure = None
        with suppress(StoreUnavailable):  # some servers do not tell; one that does not answer shows at the next step
            pressure = await self._store.pressure()
        full = refusal(used_fraction=pressure.fraction, free_bytes=None, min_free_bytes=0) if pressure else None
        if full is not None:
            raise Full(full.message, hint=full.hint)


async def new_lines(store: Store, batch: str, lines: Sequence[FileLine]) -> list[FileLine]:
    """Those that are no jobs yet."""
    ids = [child_id(batch, str(line.number - 1)) for line in lines]
    known = await store.known(ids)
    return [line for line, job_id in zip(lines, ids, strict=True) if job_id not in known]


def check(path: Path, endpoint: str, max_line_bytes: int, stop: threading.Event) -> LineCheck:
    """What is wrong with a file, if anything is; whoever sets `stop` no longer wants to know."""
    found = LineCheck(endpoint)
    for line in _lines(path, max_line_bytes):
        found.look(line)
        if found.hopeless or stop.is_set():
            return found
    found.finish()
    return found


def slices(path: Path, max_line_bytes: int) -> Generator[list[FileLine], None, None]:
    """The lines of a file, so many at a time."""
    some: list[FileLine] = []
    size = 0
    for line in _lines(path, max_line_bytes):
        some.append(line)
        size += len(line.raw)
        if len(some) == SLICE or size >= SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _lines(path: Path, max_line_bytes: int) -> Iterator[FileLine]:
    cut = LineCut(max_line_bytes=max_line_bytes)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield from cut.feed(chunk)
        yield from cut.finish()


def _asked(lines: Sequence[FileLine], target: Target) -> list[Asked]:
    requests = [read(line, target.endpoint) for line in lines]
    return [(asked, body_of(asked, target)) for asked in requests]


def _jobs(lines: Sequence[Asked], target: Target) -> list[Line]:
    return [(asked, [body] if isinstance(body, Job) else jobs_of_line(asked, body, target)) for asked, body in lines]
