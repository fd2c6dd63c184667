"""Office packages (docx, pptx, xlsx): zip archives of XML, with the same bounds and the same ways to be broken."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

from lxml import etree  # type: ignore[import-untyped]  # lxml ships no types

from viiwork.documents.limits import MIB, Limits
from viiwork.documents.outcomes import Unread

MAX_PARTS = 10_000
MAX_RATIO = 200
"""Honest XML packs 10 to 40 to 1; the ratio counts for parts over `RATIO_FROM_BYTES` only."""
RATIO_FROM_BYTES = 16 * MIB

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, etree.LxmlError, SyntaxError),  # ElementTree's ParseError is the last
    *(LookupError, ValueError, AttributeError, TypeError, ArithmeticError),  # all trust that each part is as it should
    *(NotImplementedError, AssertionError, OSError),  # the last is openpyxl's for a package without a workbook
)
"""What the libraries answer broken packages with, besides errors of their own."""


def check_package(data: bytes, limits: Limits) -> None:
    """Refuse what would unpack to too much, from the directory alone, before anything is unpacked.

    Raises Unread: `damaged`, `encrypted`, `zip_bomb`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            parts = package.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise Unread("damaged") from error
    if any(part.flag_bits & 1 for part in parts):
        raise Unread("encrypted")
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > limits.unpacked_bytes:
        raise Unread("zip_bomb")
    if any(part.file_size > max(RATIO_FROM_BYTES, MAX_RATIO * part.compress_size) for part in parts):
        raise Unread("zip_bomb")


def parse_xml(data: bytes) -> Any:
    """The part's root element; entities stay as they are, nothing else is opened. Raises `etree.LxmlError`."""
    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
