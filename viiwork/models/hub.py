"""A hub of models as a pull sees it, and how one is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from viiwork.models.listing import HubFile, Listing
from viiwork.models.names import ModelName
from viiwork.settings import Settings

QUIET = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_PROGRESS_BARS")
"""Read by huggingface_hub when it is imported. Without Xet a file is one plain HTTP download, which can be resumed."""


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


def open_hub(settings: Settings) -> Hub:
    """The hub of `models.endpoint`."""
    os.environ.update(dict.fromkeys(QUIET, "1"))
    # Half a second to import, and it reads its variables then.
    from viiwork.models.huggingface import HuggingFace  # noqa: PLC0415

    return HuggingFace(settings.models.endpoint)
