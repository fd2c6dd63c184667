"""Multipart uploads, streamed part by part into the blob directory; never whole in memory, never in /tmp."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Literal

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from viiwork.api.limits import check_count, in_mib, over
from viiwork.errors import UsageError, ViiworkError
from viiwork.settings import ApiSection
from viiwork.store.blobs import BlobRef, BlobStore, BlobWriter

FILES: Final = "files"
FILE: Final = "file"
MAX_FIELDS = 32
"""Several times what there is; each field costs memory, even an empty one."""
WRITE_BYTES = 256 * 1024
"""Chunks of the socket (64 KiB at most) are gathered to this, so that there are fewer trips to the disk thread."""


class Mark(Enum):
    """What the parser met."""

    BEGIN = auto()
    DATA = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """The head of one part of a form; `filename` is None for a plain field."""

    name: str
    filename: str | None

    @property
    def shown(self) -> str:
        """The name as an error shows it; senders may make it as long as they like."""
        return self.name[:64]


Event = tuple[Mark, Part, bytes]


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file that is safely in the blob directory."""

    name: str
    blob: BlobRef


@dataclass(slots=True)
class Form:
    """A form that has come in whole."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[UploadedFile] = field(default_factory=list)


class FormParser:
    """Turns the bytes of a multipart body into events; the parser's own callbacks cannot wait for a disk."""

    def __init__(self, content_type: str) -> None:
        _kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            raise UsageError("The multipart content-type names no boundary.", param="content-type")
        self._events: list[Event] = []
        self._header, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._part = Part("", None)
        self._complete = False
        with _translated():
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]  # a plain dict of bound methods

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events of the next piece of the body. Raises UsageError for what is no form."""
        with _translated():
            self._parser.write(chunk)
        events, self._events = self._events, []
        yield from events

    def finish(self) -> None:
        """Raises UsageError unless the form has come to its end."""
        if not self._complete:
            raise UsageError("The upload broke off before its end.")

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._begin,
            "on_part_data": lambda data, start, end: self._events.append((Mark.DATA, self._part, data[start:end])),
            "on_part_end": lambda: self._events.append((Mark.END, self._part, b"")),
            "on_end": self._end,
        }

    def _header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _begin(self) -> None:
        _kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename")
        self._part = Part(_text(options.get(b"name", b"")), None if filename is None else _text(filename))
        self._events.append((Mark.BEGIN, self._part, b""))

    def _end(self) -> None:
        self._complete = True


BeforeFiles = Callable[[Mapping[str, str]], Awaitable[None]]
"""Looks at the fields that came before the first file, so that a hopeless upload ends before its gigabytes."""


class Upload:
    """Takes one upload in, within the limits; whatever ends it early leaves no blob behind.

    `part` is what the parts with files are called; where it is `file`, there is one.
    """

    def __init__(
        self, blobs: BlobStore, limits: ApiSection, *, before_files: BeforeFiles, part: Literal["files", "file"] = FILES
    ) -> None:
        self._blobs, self._limits, self._before_files = blobs, limits, before_files
        self._part = part
        self._form = Form()
        self._writer: BlobWriter | None = None
        self._pending = bytearray()
        self._received_bytes = self._part_bytes = self._field_bytes = 0

    async def take(self, stream: AsyncIterator[bytes], *, content_type: str) -> Form:
        """The whole form. Raises UsageError, TooLarge, StoreUnavailable."""
        parser = FormParser(content_type)
        try:
            async for chunk in stream:
                self._count(len(chunk))
                for event in parser.feed(chunk):
                    await self._step(*event)
            parser.finish()
        except BaseException:
            await self._drop()
            raise
        return self._form

    async def _step(self, mark: Mark, part: Part, data: bytes) -> None:
        if mark is Mark.BEGIN:
            await self._begin(part)
        elif mark is Mark.DATA:
            await self._data(part, data)
        else:
            await self._end(part)

    async def _begin(self, part: Part) -> None:
        self._part_bytes = 0
        if not part.name:
            raise UsageError("A part of the form has no name.")
        if part.filename is None:
            self._check_field(part)
        elif part.name != self._part:
            named = f"a part named `{self._part}`" if self._part == FILE else f"parts named `{self._part}`"
            raise UsageError(f"{part.shown}: files must come in {named}.", param=part.shown)
        elif self._part == FILE and self._form.files:
            raise UsageError("file: comes twice; send one file a request.", param=FILE)
        else:
            check_count(len(self._form.files) + 1, self._limits, param=FILES)
            if not self._form.files:
                await self._before_files(self._form.fields)
            self._writer = await self._blobs.writer().__aenter__()

    def _check_field(self, part: Part) -> None:
        if part.name == self._part:
            raise UsageError(f"{part.name}: a part of this name must be a file, with a filename.", param=part.name)
        if part.name in self._form.fields:
            raise UsageError(f"{part.shown}: this field comes twice.", param=part.shown)
        if len(self._form.fields) >= MAX_FIELDS:
            raise UsageError(f"{part.shown}: a form may have {MAX_FIELDS} fields besides its files.", param=part.shown)
        self._count_field(part, len(part.name))

    async def _data(self, part: Part, data: bytes) -> None:
        self._part_bytes += len(data)
        self._pending += data
        if self._writer is None:
            self._count_field(part, len(data))
        elif self._part_bytes > self._limits.max_document_bytes:
            name = f"file {len(self._form.files) + 1} ({part.filename})"
            param = FILE if self._part == FILE else f"{FILES}.{len(self._form.files)}"
            raise over(name, in_mib(self._limits.max_document_bytes), "max_document_bytes", param=param)
        elif len(self._pending) >= WRITE_BYTES:
            await self._flush(self._writer)

    async def _end(self, part: Part) -> None:
        if self._writer is None:
            self._form.fields[part.name] = _text(bytes(self._pending))
            self._pending.clear()
            return
        await self._flush(self._writer)
        blob = await self._writer.commit()
        self._writer = None
        self._form.files.append(UploadedFile(name=part.filename or "", blob=blob))

    async def _flush(self, writer: BlobWriter) -> None:
        if self._pending:
            await writer.write(bytes(self._pending))
            self._pending.clear()

    def _count(self, received: int) -> None:
        self._received_bytes += received
        if self._received_bytes > self._limits.max_upload_bytes:
            raise over("the upload", in_mib(self._limits.max_upload_bytes), "max_upload_bytes", param=self._part)

    def _count_field(self, part: Part, received: int) -> None:
        self._field_bytes += received
        if self._field_bytes > self._limits.max_json_bytes:
            raise over(part.shown, in_mib(self._limits.max_json_bytes), "max_json_bytes", param=part.shown)

    async def _drop(self) -> None:
        if self._writer is not None:
            await self._writer.__aexit__(None, None, None)
        await discard(self._blobs, [file.blob for file in self._form.files])


async def discard(blobs: BlobStore, refs: Iterable[BlobRef]) -> None:
    """Remove blobs that no job will name."""
    for ref in refs:
        with suppress(ViiworkError, OSError):
            await blobs.delete(ref.id)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@contextmanager
def _translated() -> Iterator[None]:
    """The parser's errors as ours; they speak of the form's frame, never of its content."""
    try:
        yield
    except FormParserError as error:
        raise UsageError("The body is not valid multipart/form-data.") from error
