"""The engine calls that a document's first round takes: its parts, and what stands over each. Pure, but costly."""

from __future__ import annotations

from viiwork.documents.chunk import Chunk, chunk
from viiwork.documents.document import Document
from viiwork.documents.room import Room


def worded(document: Document, room: Room) -> list[Chunk]:
    """The document's parts; those without a single letter or digit (rules, dot leaders) say nothing to an engine."""
    pieces = chunk(document, limit_tokens=room.passage_tokens, count=room.count)
    return [piece for piece in pieces if any(map(str.isalnum, piece.text))]


def title_over(piece: Chunk, document: Document, room: Room) -> str:
    """The document's title and the headings that the part stands under, as much as there is room for."""
    below = piece.heading if piece.heading != document.title else ""
    return room.title(" — ".join(filter(None, (document.title, below))))
