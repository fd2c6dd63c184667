"""Documents read and cut here as the fleet's readers would, and counted. No model is asked, nothing is sent.

Reading happens in the same bounded processes. Only counts are kept, whatever the number of documents.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from viiwork.documents.document import Document
from viiwork.documents.limits import Limits
from viiwork.documents.reader import Reader
from viiwork.documents.room import Room
from viiwork.documents.unfold import title_over, worded
from viiwork.errors import DocumentError
from viiwork.multipart import FileDocument

AT_ONCE = 2
"""Documents that are read side by side: each takes a core, and people work on this computer."""
EMPTY = "empty"
"""Why a document that has marks and not one word is not analysed."""


@dataclass(slots=True)
class Survey:
    """What was found in the files so far."""

    documents: int = 0
    """That could be read."""
    pages: int = 0
    pages_without_text: int = 0
    parts: Counter[int] = field(default_factory=Counter)
    """How many documents are cut into so many parts."""
    passage_tokens: int = 0
    """Of all parts with their titles, without what stands around them in a prompt."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """By the code of the reason."""

    def add(self, document: Document, room: Room) -> None:
        """Count one document. Raises DocumentError where it has no words."""
        pieces = worded(document, room)
        if not pieces:
            raise DocumentError("The document has no text.", code=EMPTY)
        titles = (title_over(piece, document, room) for piece in pieces)
        self.passage_tokens += sum(piece.tokens for piece in pieces) + sum(map(room.count, filter(None, titles)))
        self.documents += 1
        self.pages += len(document.pages)
        self.pages_without_text += sum(not page.strip() for page in document.pages)
        self.parts[len(pieces)] += 1

    @property
    def files(self) -> int:
        """Read or not."""
        return self.documents + self.unreadable.total()


async def survey(
    files: Iterable[FileDocument], *, room: Room, limits: Limits, on_file: Callable[[int], None] = lambda _count: None
) -> Survey:
    """Read all files; `on_file` hears how many are done."""
    found, left = Survey(), iter(files)
    async with Reader(limits) as reader, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_read_on(left, reader, room, found, on_file))
    return found


async def _read_on(
    left: Iterator[FileDocument], reader: Reader, room: Room, found: Survey, on_file: Callable[[int], None]
) -> None:
    for file in left:
        try:
            document = await reader.read(file.path, name=file.shown_name)
            counted = Survey()
            await asyncio.to_thread(counted.add, document, room)
            _join(found, counted)
        except DocumentError as error:
            found.unreadable[error.code] += 1
        on_file(found.files)


def _join(found: Survey, more: Survey) -> None:
    """On the loop, where nobody else counts at the same time."""
    found.documents += more.documents
    found.pages += more.pages
    found.pages_without_text += more.pages_without_text
    found.passage_tokens += more.passage_tokens
    found.parts += more.parts
