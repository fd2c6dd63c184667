"""A file of jobs on its way in: checked line by line, submitted slice by slice, sealed when its digest is right.

A job's id is made from its line's number, so a file that is sent again under the same key goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from viiwork.api.intake import SLICE, Intake
from viiwork.api.limits import in_mib, over
from viiwork.api.lines import BadLine, Line, LineCutter, parse_line
from viiwork.api.quota import check_documents, check_whole, go_on
from viiwork.api.scales import Misfit
from viiwork.api.work import FileOrder, Sender, engine_job, fingerprint
from viiwork.errors import Conflict, ModelNotServed, QuotaExceeded, RateLimited, Unavailable, UsageError
from viiwork.jobfile import TASK
from viiwork.jobs import BatchState, BatchStatus, Job, child_id, new_id

SLICE_BYTES = 1024 * 1024
SUBMIT = "viiwork submit FILE --lane batch"
SILENT_S = 120.0
"""A sender that says nothing for so long is gone, and whoever comes back under its key need not wait for it."""


async def submit_file(desk: Intake, order: FileOrder, who: Sender, stream: AsyncIterator[bytes]) -> BatchStatus:
    """All jobs of a file. What is refused is cancelled as a whole; what only broke off waits for the same key.

    Raises UsageError (BadLine for a line), TooLarge, Busy, Full, Unavailable.
    """
    fresh_id = new_id("an")
    check_documents(who.tab, order.lane, order.lines, what="lines", command=SUBMIT)
    async with desk.turn(who):
        if who.key is None:
            await check_whole(desk.store, who.tab, order.lane, max(1, order.lines))
        batch_id = await desk.admit(who, lambda: fingerprint("file", order.canonical()), fresh_id)
        known = await desk.known(batch_id) if batch_id != fresh_id else None
        submission = Submission(desk, order, batch_id, who, known=known)
        try:
            await submission.take(stream)
        except BaseException as error:
            if isinstance(error, UsageError) or who.key is None:
                await submission.withdraw()
            elif isinstance(error, RateLimited | QuotaExceeded):
                await go_on(desk.store, error, batch_id, tab=who.tab, lane=order.lane, total=order.lines)
            elif isinstance(error, Unavailable):
                error.hint = f"{error.hint} {submission.kept}".strip()
            raise
        return await desk.store.batch(batch_id)


class Submission:
    """One file. A batch that was sealed or cancelled before takes nothing more: the lines are only checked."""

    def __init__(
        self, desk: Intake, order: FileOrder, batch_id: str, who: Sender, *, known: BatchStatus | None
    ) -> None:
        self._desk, self._order, self._batch_id, self._who = desk, order, batch_id, who
        self._again = known is not None
        self._closed = known is not None and known.state is not BatchState.UPLOADING
        self._open = self._again and not self._closed
        # A model that was asked for when the batch was opened is not looked for again: it may be starting anew.
        asked = order.asked_model if self._again else None
        self._models: dict[str | None, str] = {None: asked, asked: asked} if asked else {}
        self._jobs: dict[int, Job] = {}  # by their lines' numbers
        self._jobs_bytes = self._received_bytes = self._lines = 0

    async def take(self, stream: AsyncIterator[bytes]) -> None:
        """The whole file. The last slice goes in once the digest is known to be right."""
        limits, digest = self._desk.settings.api, hashlib.sha256()
        cutter = LineCutter(max_line_bytes=limits.max_json_bytes, max_lines=limits.max_lines)
        async for chunk in awake(stream):
            digest.update(chunk)
            self._count(len(chunk))
            for line in cutter.feed(chunk):
                await self._add(line)
        for line in cutter.finish():
            await self._add(line)
        self._check_whole(digest.digest())
        await self._submit()
        if not self._closed:
            await self._desk.store.seal(self._batch_id)

    async def withdraw(self) -> None:
        """Leave nothing of it running."""
        if self._open:
            await self._desk.give_up(self._batch_id)

    @property
    def kept(self) -> str:
        """What goes on although the file was not taken whole, in words."""
        return f"What was taken of the file goes on as {self._batch_id}." if self._open else ""

    async def _add(self, line: Line) -> None:
        body = parse_line(line)
        self._lines += 1
        check_documents(self._who.tab, self._order.lane, self._lines, what="lines", command=SUBMIT)
        model = self._models.get(body.model) or await self._model(body.model, line.number)
        if self._closed:
            return
        job = engine_job(
            body,
            model,
            job_id=child_id(self._batch_id, str(line.number - 1)),
            tenant=self._who.tenant,
            lane=self._order.lane,
            default_timeout_s=self._desk.settings.queue.job_timeout_s,
            batch=self._batch_id,
        )
        self._jobs[line.number] = job
        self._jobs_bytes += len(line.raw)
        if len(self._jobs) == SLICE or self._jobs_bytes >= SLICE_BYTES:
            await self._submit()

    async def _submit(self) -> None:
        numbered, self._jobs, self._jobs_bytes = self._jobs, {}, 0
        if not numbered:
            return
        await self._desk.gauge.check(fresh=True)  # a file may fill a small server within a second
        if self._again:
            numbered = await self._missing(numbered)
        jobs = await self._weighed(numbered)
        if not self._open:
            await self._open_batch(jobs[0].model)
        try:
            max_backlog = self._desk.settings.queue.max_backlog
            await self._desk.store.submit(jobs, max_backlog=max_backlog, tab=self._who.tab)
        except Conflict as error:
            raise Conflict(f"{self._batch_id} was cancelled while it was being sent.", hint="Use a new key.") from error

    async def _open_batch(self, model: str) -> None:
        await self._desk.store.open_batch(
            id=self._batch_id,
            tenant=self._who.tenant,
            lane=self._order.lane,
            model=model,
            task=TASK,
            total=self._order.lines,
            deadline_s=self._order.deadline_s,
            priority=self._order.priority,
            keep_s=self._order.keep_s,
            callback_url=self._order.callback_url,
        )
        self._open = True

    async def _missing(self, numbered: dict[int, Job]) -> dict[int, Job]:
        """Those that an earlier try has not submitted: putting their inputs down again would leave them lying about."""
        known = await self._desk.store.known([job.id for job in numbered.values()])
        return {number: job for number, job in numbered.items() if job.id not in known}

    async def _weighed(self, numbered: dict[int, Job]) -> list[Job]:
        """The jobs with the tokens of their prompts. Raises BadLine for the first whose prompt cannot be taken."""
        jobs: list[Job] = []
        weighed = await self._desk.weighed(list(numbered.values()))
        for number, said in zip(numbered, weighed, strict=True):
            if isinstance(said, Misfit):
                raise BadLine(number, said.field, said.reason, hint=said.hint, code=said.code)
            jobs.append(said)
        return jobs

    async def _model(self, asked: str | None, number: int) -> str:
        try:
            self._models[asked] = await self._desk.model(asked or self._order.asked_model)
        except ModelNotServed as error:
            message = f"line {number}: {error.message}"
            raise ModelNotServed(message, hint=error.hint, param=f"line.{number}.model") from error
        except UsageError as error:
            raise BadLine(number, "model", error.message.removeprefix("model: ").rstrip(".")) from error
        return self._models[asked]

    def _count(self, received: int) -> None:
        limit_bytes = self._desk.settings.api.max_upload_bytes
        self._received_bytes += received
        if self._received_bytes > limit_bytes:
            raise over("the file", in_mib(limit_bytes), "max_upload_bytes", param="body")

    def _check_whole(self, digest: bytes) -> None:
        if not self._lines:
            raise UsageError("The file holds no jobs.", hint="Send one JSON object a line.", param="body")
        if self._order.sha256 not in (None, digest):
            message = "Content-Digest: what came is not what was announced."
            raise UsageError(message, hint="Send the file again.", param="Content-Digest")


async def awake(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream until its sender falls silent. Raises Unavailable."""
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Unavailable("Nothing more came.", hint="Send the file again under the same key.") from error
        yield chunk
