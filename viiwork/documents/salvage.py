"""The files of a ZIP archive that was cut off: its directory stands at its end, but each file has a header too."""

from __future__ import annotations

import struct
import zlib
from functools import partial

from viiwork.documents.archive import ENCRYPTED, UTF8, is_litter
from viiwork.documents.held import Held, shown
from viiwork.documents.outcomes import Unread
from viiwork.documents.package import MAX_RATIO, RATIO_FROM_BYTES
from viiwork.documents.sniff import MAIN_PARTS, PACKED, ZIP_STARTS

HEADER = struct.Struct("<4s5H3L2H")
"""Signature, version, flags, method, time, date, CRC-32, packed and unpacked size, lengths of name and extra field."""
STREAMED = 0x8
"""The sizes stand behind the file: where it ends cannot be told without unpacking it."""
STORED, DEFLATED = 0, 8
OF_DOCUMENTS = frozenset(
    {"[Content_Types].xml", "_rels/.rels", "mimetype", *(name for name, _ in PACKED), *(name for _, name in MAIN_PARTS)}
)
"""Parts of documents that are archives themselves; the parts of such a one are no documents."""
OF_OFFICE = ("docProps/", "_rels/", "customXml/", "xl/", "word/", "ppt/")
"""Folders in such ones: programs write the parts in any order, so those above may be what was cut off."""


def salvaged(data: bytes) -> list[Held]:
    """The files that are whole, up to the first of which that cannot be told; none for what is no archive."""
    found, at, number, names = list[Held](), 0, 0, set[str]()
    while data.startswith(ZIP_STARTS[0], at) and at + HEADER.size <= len(data):
        _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = HEADER.unpack_from(data, at)
        start = at + HEADER.size + name_bytes
        name = data[at + HEADER.size : start].decode("utf-8" if flags & UTF8 else "cp437", errors="replace")
        at = start + extra_bytes + packed
        if flags & STREAMED or at > len(data):
            break
        names.add(name)
        if not name.endswith("/") and not is_litter(name):
            piece = partial(
                _unpacked, memoryview(data)[at - packed : at], flags=flags, method=method, crc=crc, size=size
            )
            found.append(Held(number, shown(name), piece))
        number += 1
    return [] if any(map(_is_part, names)) else found


def _is_part(name: str) -> bool:
    return name in OF_DOCUMENTS or (name.startswith(OF_OFFICE) and name.endswith((".xml", ".rels")))


def _unpacked(piece: memoryview, most: int, *, flags: int, method: int, crc: int, size: int) -> bytes:
    """Raises Unread."""
    if flags & ENCRYPTED:
        raise Unread("encrypted")
    if method not in (STORED, DEFLATED):
        raise Unread("unsupported", "packed in a way that is not known here")
    if size > max(RATIO_FROM_BYTES, MAX_RATIO * len(piece)):
        raise Unread("zip_bomb")
    if size > most:
        raise Unread("too_big", f": unpacked it has {size:,} bytes, and {most:,} are left for it")
    try:
        data = bytes(piece) if method == STORED else zlib.decompressobj(-zlib.MAX_WBITS).decompress(piece, size + 1)
    except zlib.error as error:
        raise Unread("damaged") from error
    if len(data) != size or zlib.crc32(data) != crc:
        raise Unread("damaged")
    return data
