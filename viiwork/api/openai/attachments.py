"""Documents inside the turns of a chat: each is read in a bounded process of its own, and its text takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from viiwork.api.openai.bodies import ChatBody
from viiwork.api.openai.content import FilePart
from viiwork.api.openai.turns import TurnBody
from viiwork.documents.contents import Contents
from viiwork.documents.marks import harmless
from viiwork.documents.reader import Reader, refusal
from viiwork.errors import DocumentError, NotFound, UsageError
from viiwork.store import files
from viiwork.store.blobs import Blobs
from viiwork.store.reading import Reading

AT_ONCE = 2
"""Documents that this process has read at the same time; others wait."""
MAX_CHARACTERS = 16 * 1024 * 1024
"""Of all documents of one chat together: a file of 64 MB may be named in every one of its parts."""
REMEMBERED_CHARACTERS, SMALLEST = 4 * 1024 * 1024, 1024
"""Of texts that may be asked for again, and how much each counts for at least."""
UNNAMED = "document"
EMPTY = "no text was found in it"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that was uploaded before: what it is called, and the blob that holds it."""

    name: str
    blob: str


Find = Callable[[str], Awaitable[Kept]]
"""The file of an id that is the sender's. Raises NotFound."""


class Texts:
    """What was read last of uploaded files, or why that could not be: many parts and lines may ask about the same."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str | DocumentError] = {}
        self._room = REMEMBERED_CHARACTERS

    async def of(self, blob: str, name: str, read: Callable[[], Awaitable[str]]) -> str:
        """The text of a blob by the name that it is read under. Raises DocumentError, as `read` does or did."""
        found = self._known.get((blob, name))
        if found is None:
            found = await self._read(read)
            self._remember((blob, name), found)
        if isinstance(found, DocumentError):
            raise DocumentError(found.message, hint=found.hint, code=found.code)
        return found

    async def _read(self, read: Callable[[], Awaitable[str]]) -> str | DocumentError:
        try:
            return await read()
        except DocumentError as error:
            return error

    def _remember(self, key: tuple[str, str], found: str | DocumentError) -> None:
        if isinstance(found, DocumentError) and found.code == "crash":
            return  # that may have been another's doing
        size = SMALLEST + (len(found) if isinstance(found, str) else 0)
        if size > self._room:
            self._known, self._room = {}, REMEMBERED_CHARACTERS
        if size <= self._room:
            self._known[key] = found
            self._room -= size


class Attachments:
    """Reads what chats bring along. Its helper process starts with the first of them."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._reader = Reader()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def close(self) -> None:
        """End the helper process."""
        await self._reader.close()

    async def resolve(self, body: ChatBody, find: Find, texts: Texts | None = None) -> ChatBody:
        """The body with text in the place of its files; `texts` are those that were read for the same sender before.

        Raises DocumentError or NotFound naming the part.
        """
        turns, room = [], MAX_CHARACTERS
        texts = texts or Texts()
        for at, turn in enumerate(body.messages):
            if not turn.files:
                turns.append(turn)
                continue
            content = await self._content(turn, at, find, texts, room)
            room -= len(content)
            turns.append(turn.model_copy(update={"content": content}))
        return body.model_copy(update={"messages": tuple(turns)})

    async def _content(self, turn: TurnBody, at: int, find: Find, texts: Texts, room: int) -> str:
        said = []
        for place, part in enumerate(turn.content):
            where = f"messages.{at}.content.{place}.file"
            said.append(part if isinstance(part, str) else await self._text(part, where, find, texts))
            room -= len(said[-1]) + 1
            if room < 0:
                message = f"{where}: the documents of this chat come to over {MAX_CHARACTERS:,} characters."
                raise UsageError(message, code="context_length", param=where)
        return "\n".join(said)

    async def _text(self, part: FilePart, where: str, find: Find, texts: Texts) -> str:
        kept = await self._kept(part.file_id, where, find) if part.file_id else None
        name = part.name or (kept.name if kept else "") or UNNAMED
        read = partial(self._read, part, kept, name)
        try:
            text = await (texts.of(kept.blob, name, read) if kept else read())
        except DocumentError as error:
            raise DocumentError(f"{where}: {error.message}", hint=error.hint, code=error.code, param=where) from error
        if not text.strip():
            hint = "An archive is sent as its files; a scan needs OCR first."
            raise DocumentError(f"{where}: {EMPTY}.", hint=hint, code="empty", param=where)
        return f'<document name="{harmless(plain(name))}">\n{harmless(text)}\n</document>'

    async def _read(self, part: FilePart, kept: Kept | None, name: str) -> str:
        async with self._room:
            found = await self._look(part, kept, name)
        if (why := refusal(found)) is not None:
            raise why
        return found.document.text if found.document else ""

    async def _kept(self, file_id: str, where: str, find: Find) -> Kept:
        try:
            return await find(file_id)
        except NotFound as error:
            field = f"{where}.file_id"
            raise NotFound(f"{field}: there is no such file of yours.", param=field) from error

    async def _look(self, part: FilePart, kept: Kept | None, name: str) -> Contents:
        if kept is not None:
            return await self._open(kept.blob, name)
        sent = await self._blobs.put(part.data)
        try:
            return await self._open(sent.id, name)
        finally:
            await self._blobs.delete(sent.id)

    async def _open(self, blob: str, name: str) -> Contents:
        async with self._blobs.at_hand(blob) as path:
            return await self._reader.open(path, name=name)


async def kept_file(store: Reading, tenant: str, file_id: str) -> Kept:
    """A file that was uploaded before. Raises NotFound."""
    file = await files.find(store, tenant, file_id)
    if file is None:
        raise NotFound("There is no such file of yours.", param="file_id")
    return Kept(file.filename, file.blob)


def plain(name: str) -> str:
    """A file's name as it may stand between quotes."""
    return "".join(letter for letter in name if letter.isprintable() and letter not in '"<>')
