"""What several jobs have in common, as one file that each of their records names a part of.

Fifty questions on one passage are fifty jobs. Each with a copy of its own took 56 times the text of Redis (measured),
and the prompt of ten thousand small files as often. The records that name such a file are counted (`shared`), and it
goes with the last of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from viiwork.errors import NotFound, StoreUnavailable
from viiwork.store.blobs import Blobs
from viiwork.wire import as_json
from viiwork.work import JobInput, Kept, MergeInput, ReadInput, Span, StepInput, TaskOptions

OPTIONS_BYTES = 1024
"""Options over this are shared by the jobs that have the same."""
TEXT_BYTES, AGAIN_BYTES = 32 * 1024, 4 * 1024
"""Passages are, where they come to more than this, or what is said again of them does."""
LEAST_BYTES = 256
"""To name a part takes about a third of this."""

ANALYSED = StepInput | ReadInput | MergeInput


@dataclass(frozen=True, slots=True)
class Shared:
    """The file's content, and where in it, or in one that is there already, each text lies."""

    content: bytes
    places: Mapping[str, tuple[int, int]]
    known: Mapping[str, Span]

    def lean(self, work: JobInput, blob: str) -> JobInput:
        """The input with what is shared left out, and named instead."""
        if not isinstance(work, ANALYSED):
            return work
        options = self._span(as_json(work.options), blob)
        text = self._span(work.text, blob) if isinstance(work, StepInput) else None
        left: dict[str, object] = {"kept": Kept(options=options, text=text) if options or text else None}
        left |= {"options": TaskOptions()} if options else {}
        left |= {"text": ""} if text else {}
        return work.model_copy(update=left)

    def _span(self, text: str, blob: str) -> Span | None:
        if text in self.places:
            start, size = self.places[text]
            return Span(blob=blob, start=start, bytes=size)
        return self.known.get(text)


def shared(works: Sequence[JobInput], *, like: JobInput | None = None) -> Shared:
    """What these have in common, and what they have in common with `like`, whose record stays while they come."""
    known = _known(like)
    options = Counter(as_json(work.options) for work in works if isinstance(work, ANALYSED))
    texts = Counter(work.text for work in works if isinstance(work, StepInput))
    chosen = [text for text, times in options.items() if times > 1 and len(text) > OPTIONS_BYTES and text not in known]
    whole = sum(len(text) * times for text, times in texts.items())
    if whole > TEXT_BYTES or whole - sum(map(len, texts)) > AGAIN_BYTES:
        chosen += [text for text in texts if len(text) > LEAST_BYTES]
    content, places = bytearray(), dict[str, tuple[int, int]]()
    for text in chosen:
        raw = text.encode()
        places[text] = (len(content), len(raw))
        content += raw
    return Shared(bytes(content), places, known)


def blobs_of(work: JobInput) -> list[str]:
    """The shared files that an input names."""
    kept = work.kept if isinstance(work, ANALYSED) else None
    spans = (kept.options, kept.text) if kept else ()
    return list(dict.fromkeys(span.blob for span in spans if span))


async def whole(blobs: Blobs, work: JobInput) -> JobInput:
    """The input with what is shared put back; it goes on naming it. Raises NotFound, StoreUnavailable."""
    kept = work.kept if isinstance(work, ANALYSED) else None
    if kept is None:
        return work
    put_back: dict[str, object] = {}
    if kept.options:
        put_back["options"] = TaskOptions.model_validate_json(await _read(blobs, kept.options))
    if kept.text:
        put_back["text"] = (await _read(blobs, kept.text)).decode()
    return work.model_copy(update=put_back)


def _known(like: JobInput | None) -> dict[str, Span]:
    kept = like.kept if isinstance(like, ANALYSED) else None
    return {as_json(like.options): kept.options} if isinstance(like, ANALYSED) and kept and kept.options else {}


async def _read(blobs: Blobs, span: Span) -> bytes:
    async with blobs.at_hand(span.blob) as path:
        found = await asyncio.to_thread(_part, path, span)
    if len(found) < span.bytes:
        raise NotFound("A stored input is shorter than it was.")
    return found


def _part(path: Path, span: Span) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(span.start)
            return file.read(span.bytes)
    except FileNotFoundError as error:
        raise NotFound("A stored input or output is missing from the blob directory.") from error
    except OSError as error:
        raise StoreUnavailable(
            "The blob directory cannot be read.", hint="Check the disk and the directory's owner."
        ) from error
