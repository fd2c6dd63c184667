"""A batch's files on their way out: once all its lines have ended, what came of them is written, in constant memory.

The files are on disk before the record names them, and the record is written once. A step that is run again writes new
files; those of the first try, which no record names, are removed.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Protocol

from viiwork.api.openai.batchlines import CANCELLED, EXPIRED, Target, line_of, unanswered
from viiwork.api.openai.choices import others
from viiwork.batches.batchobject import Facts, Outcome, output_name
from viiwork.batches.fileobject import new_file_id
from viiwork.batches.linecheck import Wrong, read
from viiwork.batches.linecut import FileLine
from viiwork.errors import Full, NotFound, ViiworkError
from viiwork.jobs import BatchStatus, Fault, State
from viiwork.store import BlobRef, BlobStore, Store, filebatches
from viiwork.store.blobs import Blobs, BlobWriter
from viiwork.store.filebatches import Written
from viiwork.store.leases import Claim
from viiwork.work import CloseInput
from viiwork_workers.linesin import new_lines, slices

WRITE_BYTES = 256 * 1024
CLOCKS_MS = 1000
"""How much sooner than the deadline a worker may end what it runs, by its own clock."""
ENDS = {"expired": EXPIRED, "cancelled": CANCELLED}
"""What is said of lines that were never jobs, by how the batch ended."""


class LinesOut:
    """Runs the step that closes a batch."""

    def __init__(self, store: Store, *, max_line_bytes: int) -> None:
        self._store, self._max_line_bytes = store, max_line_bytes

    async def __call__(self, claim: Claim, work: CloseInput) -> None:
        """Raises StoreUnavailable, and Full while further answers are under way: the step comes back then."""
        batch = await filebatches.known(self._store, work.batch)
        if batch is None or batch.concluded_ms is not None:
            return
        async with AsyncExitStack() as stack:
            sinks = [Sink(self._store.blobs, stack) for _ in range(2)]
            outcome = batch.ends_as if batch.refused_ms else await self._write(batch, work, *sinks)
            output, errors = sinks
            files = [
                await output.finish(output_name(batch, "output")),
                await errors.finish(output_name(batch, "errors")),
            ]
            done = await filebatches.conclude(self._store, work.batch, claim.fence, outcome=outcome, files=files)
        if not done:
            for one in filter(None, files):
                with suppress(ViiworkError, OSError):  # else the sweeper finds it
                    await self._store.blobs.delete(one.blob)

    async def _write(self, batch: Facts, work: CloseInput, output: Sink, errors: Sink) -> Outcome:
        """What the batch came to: workers end what they run at the deadline, and may be quicker than the upkeep."""
        status, outcome = batch.status, batch.ends_as
        target = Target(status.id, status.tenant, batch.endpoint, status.model, 0.0)
        async for row in filebatches.rows(self._store, status.id):
            if row.state is State.EXPIRED and outcome == "completed" and _was_late(status):
                outcome = "expired"
            if (more := await others(self._store, row, target)) is None:
                raise Full("Some lines of the batch wait for further answers that they asked for.")
            answered, line = line_of(row, target, created_ms=status.created_ms, others=more)
            await (output if answered else errors).write(line)
        if batch.ends_as in ENDS:
            await self._write_rest(batch, work, target, errors)
        return outcome

    async def _write_rest(self, batch: Facts, work: CloseInput, target: Target, errors: Sink) -> None:
        """The lines that were to become jobs when the batch ended."""
        with suppress(NotFound):
            async with self._store.blobs.at_hand(work.blob) as path:
                lines = slices(path, self._max_line_bytes)
                while some := await asyncio.to_thread(next, lines, None):
                    left = await new_lines(self._store, work.batch, some)
                    await self._write_lines(left, target, ENDS[batch.ends_as], errors)

    async def _write_lines(self, lines: list[FileLine], target: Target, why: Fault, errors: Sink) -> None:
        for line in lines:
            with suppress(Wrong):  # it ended before anybody had checked it
                asked = read(line, target.endpoint)
                await errors.write(unanswered(target, asked.line - 1, asked.custom_id, why))


def _was_late(status: BatchStatus) -> bool:
    """Whether it ended by its own deadline; a line may have had one that was sooner."""
    return (status.finished_ms or 0) + CLOCKS_MS >= (status.deadline_ms or 0)


class Writer(Protocol):
    """What takes a blob's bytes."""

    async def write(self, chunk: bytes) -> None: ...

    async def commit(self) -> BlobRef: ...


class Sink:
    """One file that is being written; without a line there is none."""

    def __init__(self, blobs: Blobs, stack: AsyncExitStack) -> None:
        self._blobs, self._stack = blobs, stack
        self._writer: Writer | None = None
        self._pending = bytearray()

    async def write(self, line: bytes) -> None:
        """Append a line. Raises StoreUnavailable."""
        self._pending += line
        if len(self._pending) >= WRITE_BYTES:
            await self._flush()

    async def finish(self, filename: str) -> Written | None:
        """The file, on disk; None where nothing was written."""
        if self._pending:
            await self._flush()
        if self._writer is None:
            return None
        blob = await self._writer.commit()
        return Written(new_file_id(), blob.id, blob.bytes, filename, blob.sha256)

    async def _flush(self) -> None:
        self._writer = self._writer or await self._opened()
        await self._writer.write(bytes(self._pending))
        self._pending.clear()

    async def _opened(self) -> Writer:
        if isinstance(self._blobs, BlobStore):
            writer: BlobWriter = await self._stack.enter_async_context(self._blobs.writer())
            return writer
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="viiwork-")))
        return Sent(self._blobs, folder / "lines")


class Sent:
    """The same on a computer that joined: written beside, and sent to the head whole."""

    def __init__(self, blobs: Blobs, path: Path) -> None:
        self._blobs, self._path = blobs, path

    async def write(self, chunk: bytes) -> None:
        await asyncio.to_thread(self._append, chunk)

    async def commit(self) -> BlobRef:
        return await self._blobs.put(await asyncio.to_thread(self._path.read_bytes))

    def _append(self, chunk: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(chunk)
