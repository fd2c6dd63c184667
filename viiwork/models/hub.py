"""A hub of models as a pull sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from viiwork.models.listing import HubFile, Listing
from viiwork.models.names import ModelName


@dataclass(frozen=True, slots=True)
class Body:
    """A file's bytes from `start` on, as they come."""

    start: int
    """0 when the hub could not go on where we asked it to."""
    blocks: Iterator[bytes]


class Hub(Protocol):
    """Lists a model's files and sends them. Raises errors of ours only."""

    @property
    def address(self) -> str: ...
    def listing(self, name: ModelName) -> Listing: ...
    def body(self, listing: Listing, file: HubFile, *, start: int) -> AbstractContextManager[Body]: ...
