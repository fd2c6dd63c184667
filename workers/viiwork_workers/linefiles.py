"""Documents inside the chats of a batch's lines: read when their line becomes a job, as those of any chat."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from viiwork.api.openai.attachments import Attachments, Texts, kept_file
from viiwork.api.openai.batchlines import Target, refused
from viiwork.api.openai.bodies import AnyBody, ChatBody
from viiwork.batches.linecheck import Request
from viiwork.errors import DocumentError, UsageError
from viiwork.jobs import READER_MODEL, Job
from viiwork.roster import FleetStatus
from viiwork.store import Store

Asked = tuple[Request, AnyBody | Job]
"""A line, and what it asks for, or the job that says why that cannot be."""

TURN_S = 30.0
"""How long a batch's documents are read before other work of the readers has its turn, where some waits."""


class Turn:
    """The documents of a batch, while one of its steps holds a reader."""

    def __init__(self) -> None:
        self.texts = Texts()
        self._begun_s = time.monotonic()

    def is_over(self, fleet: FleetStatus) -> bool:
        """Whether it was long enough, and work that is ready finds no reader: what only waits for other work is not."""
        if time.monotonic() - self._begun_s < TURN_S:
            return False
        return any(one.model == READER_MODEL and one.queued for one in fleet.queues)


class LineFiles:
    """Reads for the batches of one worker. Its helper process starts with the first document."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._attachments = Attachments(store.blobs)

    async def close(self) -> None:
        """End the helper process."""
        await self._attachments.close()

    async def text(self, line: Asked, target: Target, texts: Texts) -> Asked:
        """The line with text in the place of its files; one of whose files nothing can be had fails by itself.

        `texts` are of the same batch.

        Raises StoreUnavailable.
        """
        asked, body = line
        if not isinstance(body, ChatBody) or not body.has_files:
            return line
        try:
            find = partial(kept_file, self._store, target.tenant)
            return asked, await self._attachments.resolve(body, find, texts)
        except (DocumentError, UsageError) as error:
            return asked, refused(asked, target, str(error), code=error.code)


def groups(lines: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """What is taken in together: lines with files one by one, since the text of each may be 16 Mi characters."""
    plain = [line for line in lines if not has_files(line[1])]
    if plain:
        yield plain
    for line in lines:
        if has_files(line[1]):
            yield (line,)


def has_files(body: AnyBody | Job) -> bool:
    """Whether documents must be read for it."""
    return isinstance(body, ChatBody) and body.has_files
