"""From paths on the command line to the files that will be sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from viiwork.errors import UsageError
from viiwork.multipart import FileDocument


def find_files(paths: Sequence[str], *, recursive: bool = True) -> list[FileDocument]:
    """The files that `paths` name, folders unfolded in order; hidden files in folders are skipped.

    Raises UsageError, naming the path, for what does not exist, cannot be read or holds nothing.
    """
    found = [file for path in paths for file in _under(path, recursive=recursive)]
    for file in found:
        if not os.access(file.path, os.R_OK):
            raise UsageError(f"{file.path}: permission denied.", param="PATH")
    return found


def _under(path: str, *, recursive: bool) -> list[FileDocument]:
    where = Path(path)
    if where.is_dir():
        files = list(_in_folder(where, recursive=recursive))
        if not files:
            raise UsageError(f"{path}: no files in this directory (hidden ones are skipped).", param="PATH")
        return files
    if where.is_file():
        return [FileDocument(where, name=where.name)]
    # The path as it was typed: a Path would drop the slash at its end.
    raise UsageError(f"{path}: {'not a file' if where.exists() else 'no such file or directory'}", param="PATH")


def _in_folder(folder: Path, *, recursive: bool) -> Iterator[FileDocument]:
    for root, folders, names in os.walk(folder, onerror=_refused):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(names):
            path = Path(root, name)
            if not name.startswith(".") and path.is_file():
                yield FileDocument(path, name=str(path.relative_to(folder)))


def _refused(error: OSError) -> None:
    raise UsageError(f"{error.filename}: {(error.strerror or 'cannot be read').lower()}.", param="PATH") from error
