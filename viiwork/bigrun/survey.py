"""Documents read and cut here as the fleet's readers would, and counted. No model is asked, nothing is sent.

Reading happens in the same bounded processes. Only counts are kept, whatever the number of documents. What lies in
archives and e-mails is read too, and of documents with the same content one is asked about.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from viiwork.documents.contents import Member, likeness
from viiwork.documents.document import Document
from viiwork.documents.limits import Limits
from viiwork.documents.outcomes import OF_CONTENT
from viiwork.documents.reader import Reader, refusal
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
    copies: int = 0
    """Of these, how many have the content of another one: they get its answer, and take no call."""
    pages: int = 0
    pages_without_text: int = 0
    parts: Counter[int] = field(default_factory=Counter)
    """How many documents are cut into so many parts, copies left out."""
    passage_tokens: int = 0
    """Of all parts with their titles, without what stands around them in a prompt."""
    unreadable: Counter[str] = field(default_factory=Counter)
    """By the code of the reason."""

    @property
    def files(self) -> int:
        """Read or not; each has a row in the end."""
        return self.documents + self.unreadable.total()

    def __iadd__(self, more: Survey) -> Survey:
        for name in ("documents", "copies", "pages", "pages_without_text", "passage_tokens"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.parts += more.parts
        self.unreadable += more.unreadable
        return self


def counted(document: Document, room: Room) -> Survey:
    """One document. Costly: run it in a thread."""
    pieces = worded(document, room)
    if not pieces:
        return Survey(unreadable=Counter({EMPTY: 1}))
    titles = (title_over(piece, document, room) for piece in pieces)
    return Survey(
        documents=1,
        pages=len(document.pages),
        pages_without_text=sum(not page.strip() for page in document.pages),
        parts=Counter({len(pieces): 1}),
        passage_tokens=sum(piece.tokens for piece in pieces) + sum(map(room.count, filter(None, titles))),
    )


def copy_of(first: Survey) -> Survey:
    """A document of the same content: it counts, and takes nothing."""
    return Survey(
        documents=first.documents,
        copies=first.documents,
        pages=first.pages,
        pages_without_text=first.pages_without_text,
        unreadable=Counter(first.unreadable),
    )


async def survey(
    files: Iterable[FileDocument], *, room: Room, limits: Limits, on_file: Callable[[int], None] = lambda _count: None
) -> Survey:
    """Read all files; `on_file` hears how many of them are done."""
    left = iter(files)
    async with Reader(limits) as reader, asyncio.TaskGroup() as group:
        reading = _Reading(reader, room, on_file)
        for _ in range(AT_ONCE):
            group.create_task(reading.read_on(left))
    return reading.found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one file came to, by itself and by the files in it."""

    counts: Survey
    members: tuple[Member, ...] = ()
    code: str = ""
    """Why it could not be read."""
    inside: bool = False

    def settles(self, way: tuple[int, ...]) -> bool:
        """Whether a copy need not be opened: nothing more can come of it than of this one."""
        by_content = not self.code or self.code in OF_CONTENT
        return by_content and (bool(way) or not (self.members or self.inside))


class _Reading:
    """What the tasks that read side by side share; all of them run on one loop."""

    def __init__(self, reader: Reader, room: Room, on_file: Callable[[int], None]) -> None:
        self._reader, self._room, self._on_file = reader, room, on_file
        self.found = Survey()
        self._known: dict[str, asyncio.Future[_Seen]] = {}
        self._files = 0

    async def read_on(self, left: Iterator[FileDocument]) -> None:
        """File after file, while any are left."""
        for file in left:
            digest = await asyncio.to_thread(_sha256, file.path)
            name = file.shown_name
            members = await self._one(file.path, name, likeness(digest, name) if digest else "")
            for member in members:
                await self._held(file.path, name, member)
            self._files += 1
            self._on_file(self._files)

    async def _held(self, path: Path, name: str, member: Member) -> None:
        if member.code:
            self.found += Survey(unreadable=Counter({member.code: 1}))
            return
        like = likeness(member.sha256, member.name) if member.sha256 else ""
        await self._one(path, f"{name}/{member.name}", like, way=member.way)

    async def _one(self, path: Path, name: str, like: str, *, way: tuple[int, ...] = ()) -> tuple[Member, ...]:
        """Count one document; answers the files in it. Its copies wait for it, and containers are opened each."""
        first = self._known.get(like) if like else None
        known = await first if first is not None else None
        if known is not None and known.settles(way):
            self.found += copy_of(known.counts)
            return ()
        mine: asyncio.Future[_Seen] = asyncio.get_running_loop().create_future()
        if like and first is None:
            self._known[like] = mine
        seen = _unreadable("crash", way=way)
        try:
            seen = await self._seen(path, name, way)
        finally:
            mine.set_result(seen)
        self.found += copy_of(seen.counts) if known is not None and known.counts.documents else seen.counts
        return seen.members

    async def _seen(self, path: Path, name: str, way: tuple[int, ...]) -> _Seen:
        try:
            found = await self._reader.open(path, name=name, way=way, group="estimate")
        except DocumentError as error:
            return _unreadable(error.code, way=way)
        if why := refusal(found):
            return _unreadable(why.code, way=way, members=found.members)
        counts = await asyncio.to_thread(counted, found.document, self._room) if found.document else Survey()
        return _Seen(counts, members=found.members, inside=bool(way))


def _unreadable(code: str, *, way: tuple[int, ...], members: tuple[Member, ...] = ()) -> _Seen:
    return _Seen(Survey(unreadable=Counter({code: 1})), members=members, code=code, inside=bool(way))


def _sha256(path: Path) -> str:
    """Empty for a file that cannot be read, as its reading will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
