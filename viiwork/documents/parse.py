"""One file, from bytes to what is in it. Runs in a reading process and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from viiwork.documents import sniff
from viiwork.documents.contents import Contents
from viiwork.documents.document import Document
from viiwork.documents.html import declared_charset, read_html
from viiwork.documents.language import language_of
from viiwork.documents.limits import Limits
from viiwork.documents.mail import read_mail
from viiwork.documents.members import container, members_of, reach
from viiwork.documents.outcomes import Unread
from viiwork.documents.pdf import read_pdf
from viiwork.documents.sheets import read_xlsx
from viiwork.documents.slides import read_pptx
from viiwork.documents.text import decode, read_markdown, read_text
from viiwork.documents.word import read_docx

PackageReader = Callable[[bytes, Limits], Document]
PACKAGE_READERS: dict[sniff.Kind, PackageReader] = {
    sniff.DOCX: read_docx,
    sniff.PPTX: read_pptx,
    sniff.XLSX: read_xlsx,
}
TextReader = Callable[[str, tuple[str, ...]], Document]
TEXT_READERS: dict[sniff.Kind, TextReader] = {
    sniff.TEXT: read_text,
    sniff.MARKDOWN: read_markdown,
    sniff.HTML: read_html,
}


def look_into(path: Path, *, name: str, limits: Limits, way: tuple[int, ...] = ()) -> Contents:
    """What is in the file, or in the one that the way inside it leads to, whose own files are not looked for again.

    `name` is what people call it, for its ending. Raises Unread.
    """
    data = reach(load(path, limits), way, limits)
    if not data:
        raise Unread("empty")
    if way:
        return Contents(parse(data, name=name, limits=limits))
    kind = container(data, sniff.suffix_of(name))
    members = members_of(data, kind, limits)
    if kind is sniff.ZIP:
        return Contents(None, members)
    try:
        return Contents(parse(data, name=name, limits=limits), members)
    except Unread as reason:
        if not members:
            raise
        return Contents(None, members, code=reason.code, detail=reason.detail)


def parse(data: bytes, *, name: str, limits: Limits) -> Document:
    """The document that the bytes are. Raises Unread."""
    suffix = sniff.suffix_of(name)
    kind, document = _read(data, suffix, limits)
    if not document.text.strip():
        raise Unread("empty", ": there is no text in it")
    notes = (*sniff.wrong_name_note(kind, suffix), *document.notes)
    return replace(document, notes=notes, language=language_of(document.text))


def load(path: Path, limits: Limits) -> bytes:
    """The file's bytes. Raises Unread: `unreadable`, `empty`, `too_big`."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to must not hang
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise Unread("unreadable") from error
    try:
        data = _whole(descriptor, limits)
    except OSError as error:
        raise Unread("unreadable") from error
    finally:
        os.close(descriptor)
    if not data:
        raise Unread("empty")
    return data


def _whole(descriptor: int, limits: Limits) -> bytes:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise Unread("unreadable")
    if facts.st_size > limits.input_bytes:
        raise Unread("too_big", f": it has {facts.st_size:,} bytes, and {limits.input_bytes:,} are allowed")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(facts.st_size)  # room for all that is asked for is taken at once


def _read(data: bytes, suffix: str, limits: Limits) -> tuple[sniff.Kind, Document]:
    packed = sniff.sniff_bytes(data)
    if packed is not None and packed in PACKAGE_READERS:
        return packed, PACKAGE_READERS[packed](data, limits)
    if packed is sniff.ZIP:
        raise Unread("unsupported", "a ZIP archive inside others")
    if packed is sniff.PDF:
        return packed, read_pdf(data)
    text, notes = decode(data, declared=declared_charset(data))
    kind = sniff.sniff_text(text, suffix)
    if kind is sniff.MAIL:
        return kind, read_mail(data)
    if len(text) > limits.output_bytes:  # before it is tidied, which takes seconds on 100 MB
        raise Unread("too_big", f": its text is over {limits.output_bytes:,} bytes")
    return kind, TEXT_READERS[kind](text, notes)
