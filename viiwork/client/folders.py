"""From paths to the files that will be sent."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from viiwork.errors import UsageError
from viiwork.multipart import FileDocument

OnSkipped = Callable[[str], None]
"""Hears of what was left out, in a sentence."""


def find_files(
    paths: Sequence[str], *, recursive: bool = True, on_skipped: OnSkipped = lambda _text: None
) -> list[FileDocument]:
    """The files that `paths` name, folders unfolded in order; hidden files and links in folders are skipped.

    A link found in a folder may lead to anything on this computer, so only a link that is named itself is followed.
    Raises UsageError, naming the path, for what does not exist, cannot be read or holds nothing.
    """
    return told_apart([file for path in paths for file in unfolded(path, recursive=recursive, on_skipped=on_skipped)])


def unfolded(path: str, *, recursive: bool = True, on_skipped: OnSkipped = lambda _text: None) -> list[FileDocument]:
    """The file at a path, or the files under it. Raises UsageError."""
    found = _under(path, recursive=recursive, on_skipped=on_skipped)
    for file in found:
        if not os.access(file.path, os.R_OK):
            raise UsageError(f"{file.path}: permission denied.", param="PATH")
    return found


def told_apart(files: Sequence[FileDocument]) -> list[FileDocument]:
    """The files, those of the same name with as much of their folders before it as makes them differ."""
    places = [Path(os.path.abspath(file.path)).parts for file in files]  # noqa: PTH100 - a link keeps its own name
    kept = [len(Path(file.name).parts) for file in files]
    while clashing := _clashing(names := [place[-parts:] for place, parts in zip(places, kept, strict=True)], places):
        kept = [parts + (name in clashing) for name, parts in zip(names, kept, strict=True)]
    return [replace(file, name=str(Path(*name))) for file, name in zip(files, names, strict=True)]


def _clashing(names: Sequence[tuple[str, ...]], places: Sequence[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """The names that stand for files in different places; a file that is given twice may keep its name."""
    having = defaultdict(set)
    for name, place in zip(names, places, strict=True):
        having[name].add(place)
    return {name for name, where in having.items() if len(where) > 1}


def _under(path: str, *, recursive: bool, on_skipped: OnSkipped) -> list[FileDocument]:
    where = Path(path)
    if where.is_dir():
        files = list(_in_folder(where, recursive=recursive, on_skipped=on_skipped))
        if not files:
            raise UsageError(f"{path}: no files in this directory (hidden ones and links are skipped).", param="PATH")
        return files
    if where.is_file():
        return [FileDocument(where, name=where.name)]
    # The path as it was typed: a Path would drop the slash at its end.
    raise UsageError(f"{path}: {'not a file' if where.exists() else 'no such file or directory'}", param="PATH")


def _in_folder(folder: Path, *, recursive: bool, on_skipped: OnSkipped) -> Iterator[FileDocument]:
    links = 0
    for root, folders, names in os.walk(folder, onerror=_refused):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        links += sum(Path(root, name).is_symlink() for name in folders)  # which `walk` does not enter
        for path in (Path(root, name) for name in sorted(names) if not name.startswith(".")):
            if path.is_symlink():
                links += 1
            elif path.is_file():
                yield FileDocument(path, name=str(path.relative_to(folder)))
    if links:
        many = f"{links} symbolic link{'' if links == 1 else 's'}"
        on_skipped(f"{folder}: skipped {many}; name one yourself to have it read.")


def _refused(error: OSError) -> None:
    raise UsageError(f"{error.filename}: {(error.strerror or 'cannot be read').lower()}.", param="PATH") from error
