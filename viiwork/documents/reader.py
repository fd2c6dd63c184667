"""Reading documents from asyncio, in bounded processes."""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from viiwork.documents.contents import Contents
from viiwork.documents.document import Document
from viiwork.documents.helper import Helper, HelperGone
from viiwork.documents.limits import Limits
from viiwork.documents.outcomes import OUTCOMES, outcome
from viiwork.errors import DocumentError

SMALL_BYTES = 256 * 1024
"""Answers up to this size are decoded on the event loop; bigger ones in a thread."""


ANSWER = TypeAdapter(Contents)
"""What a child says: one that cannot read the document gives a code and nothing else."""


class Reader:
    """Reads any number of documents at the same time on one event loop; the caller bounds how many.

    The helper process starts with the first document and again when it has died. Nothing that a document does
    to its process reaches this one: it becomes a DocumentError whose `code` is the typed outcome.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._helper: Helper | None = None
        self._starting = asyncio.Lock()
        self._closed = False

    async def read(self, path: Path, *, name: str = "", group: str = "") -> Document:
        """The document in the file, as `open` finds it. Raises DocumentError."""
        found = await self.open(path, name=name, group=group)
        if found.document is None:
            raise refusal(found) or outcome("unsupported", "a ZIP archive, which is no document by itself")
        return found.document

    async def open(self, path: Path, *, name: str = "", way: tuple[int, ...] = (), group: str = "") -> Contents:
        """What is in the file, or in the one inside it that the way leads to.

        `name` is what its owner calls it (default: the file's own name). Documents of a group, which belong to one
        owner, may share a process; one that ends it is read again alone, and so are those of no group. Cancelling the
        task kills the process that reads. Raises DocumentError.
        """
        try:
            return await self._attempt(path, name or path.name, way, group)
        except HelperGone:
            pass  # the helper died, whoever killed it: once more with a fresh one
        try:
            return await self._attempt(path, name or path.name, way, group)
        except HelperGone as error:
            raise outcome("crash") from error

    async def close(self) -> None:
        """End the helper and every child that still reads, for good; their `read` raises DocumentError `crash`."""
        self._closed = True
        async with self._starting:
            helper, self._helper = self._helper, None
        if helper is not None:
            await helper.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _attempt(self, path: Path, name: str, way: tuple[int, ...], group: str) -> Contents:
        helper = await self._living_helper()
        read = partial(helper.read, _absolute(path), name=name, limits=self._limits, way=way)
        payload, ended = await read(group=group)
        if ended.status and not ended.alone:
            payload, ended = await read()
        if len(payload) > self._limits.output_bytes:
            raise outcome("too_big", f": its text is over {self._limits.output_bytes:,} bytes")
        if ended.late or ended.status == -signal.SIGXCPU:
            raise outcome("timeout")
        if ended.status != 0:
            raise outcome("crash")
        return judge(payload) if len(payload) <= SMALL_BYTES else await asyncio.to_thread(judge, payload)

    async def _living_helper(self) -> Helper:
        async with self._starting:
            if self._closed:
                raise HelperGone
            if self._helper is not None and not self._helper.alive:
                await self._helper.close()
                self._helper = None
            if self._helper is None:
                self._helper = Helper.start()
            return self._helper


def _absolute(path: Path) -> str:
    """The helper keeps the working directory that it was started in; this process may have changed its own."""
    return str(path.absolute())


def judge(payload: bytes) -> Contents:
    """What a child has found. Raises the DocumentError that its answer stands for, where it found nothing."""
    try:
        answer = ANSWER.validate_json(payload)
    except ValidationError as error:
        raise outcome("crash") from error
    if answer.document is None and not answer.members:
        raise refusal(answer) or outcome("crash")
    return answer


def refusal(found: Contents) -> DocumentError | None:
    """Why the document itself could not be read, if it could not."""
    if not found.code:
        return None
    return outcome(found.code if found.code in OUTCOMES else "crash", found.detail)
