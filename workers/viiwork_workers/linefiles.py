"""Documents inside the chats of a batch's lines: read when their line becomes a job, as those of any chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from viiwork.api.openai.attachments import Attachments, kept_file
from viiwork.api.openai.batchlines import Target, refused
from viiwork.api.openai.bodies import AnyBody, ChatBody
from viiwork.batches.linecheck import Request
from viiwork.errors import DocumentError, UsageError
from viiwork.jobs import Job
from viiwork.store import Store

Asked = tuple[Request, AnyBody | Job]
"""A line, and what it asks for, or the job that says why that cannot be."""


class LineFiles:
    """Reads for the batches of one worker. Its helper process starts with the first document."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._attachments = Attachments(store.blobs)

    async def close(self) -> None:
        """End the helper process."""
        await self._attachments.close()

    async def text(self, line: Asked, target: Target) -> Asked:
        """The line with text in the place of its files; one of whose files nothing can be had fails by itself.

        Raises StoreUnavailable.
        """
        asked, body = line
        if not isinstance(body, ChatBody) or not body.has_files:
            return line
        try:
            return asked, await self._attachments.resolve(body, partial(kept_file, self._store, target.tenant))
        except (DocumentError, UsageError) as error:
            return asked, refused(asked, target, str(error), code=error.code)


def groups(lines: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """What is taken in together: lines with files one by one, since the text of each may be 16 Mi characters."""
    plain = [line for line in lines if not _has_files(line[1])]
    if plain:
        yield plain
    for line in lines:
        if _has_files(line[1]):
            yield (line,)


def _has_files(body: AnyBody | Job) -> bool:
    return isinstance(body, ChatBody) and body.has_files
