"""What is in a file: a document, other files, or both."""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.documents.document import Document
from viiwork.documents.sniff import suffix_of


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside the one that was sent; one that cannot be had has the code of the outcome that says why."""

    way: tuple[int, ...]
    """Its place in the file that was sent, then in the one found there, and so on."""
    name: str
    """As a path, such as `2019/inner.zip/a.pdf`."""
    sha256: str = ""
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found. A message that cannot be read itself has a code, and the files that are attached to it."""

    document: Document | None
    members: tuple[Member, ...] = ()
    code: str = ""
    detail: str = ""


def likeness(sha256: str, name: str) -> str:
    """The same for files that read the same: by their bytes, and by what the endings of their names promise."""
    return f"{sha256[:32]}{suffix_of(name)[:16]}"
