"""From paths on the command line to the files that will be sent."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.cli.screen import say
from viiwork.client import folders
from viiwork.multipart import FileDocument


def find_files(paths: Sequence[str], *, recursive: bool = True) -> list[FileDocument]:
    """The files that `paths` name, folders unfolded; the person hears of links that were skipped. Raises UsageError."""
    return folders.find_files(paths, recursive=recursive, on_skipped=say)
