"""The table of where documents and large answers are, for a computer that has not the head's state directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from viiwork.settings.section import MIB, Section


class BlobsSection(Section):
    """Where documents and large answers are."""

    dir: Path | None = None
    """The fleet's blob directory, mounted here. Default: `blobs` in the state directory."""
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+/?$")] | None = None
    """The head's API, in place of a directory."""
    token: Annotated[str, Field(repr=False)] = ""
    """A worker token of the head's."""
    token_file: Path | None = None
    """Holds the token where `token` does not say it."""
    ca_file: Path | None = None
    """Certificates that the head's is checked against. Default: the system's."""
    plain_http: bool = False
    """Whether documents and the token may go over the network in clear text."""
    cache_bytes: Annotated[int, Field(ge=16 * MIB)] = 2048 * MIB
    """Of copies that are kept here."""
