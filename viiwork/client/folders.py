"""From paths to the files that will be sent."""

from __future__ import annotations

import glob
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from viiwork.errors import UsageError
from viiwork.multipart import FileDocument

OnSkipped = Callable[[str], None]
"""Hears of what was left out, in a sentence."""
HIDDEN, LINK, ODD = "hidden", "link", "odd"
SKIPPED = {
    HIDDEN: ("hidden file or folder", "hidden files and folders", "name one yourself to have it read"),
    LINK: ("symbolic link", "symbolic links", "name one yourself to have it read"),
    ODD: ("pipe, socket or device", "pipes, sockets and devices", "they are no files"),
}
"""What is left out of folders: one, several, and what to do."""


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
    found = _named(path, recursive=recursive, on_skipped=on_skipped)
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


def _named(path: str, *, recursive: bool, on_skipped: OnSkipped) -> list[FileDocument]:
    """What a path names; what matches it, where there is nothing of that very name."""
    if os.path.lexists(path) or not glob.has_magic(path):
        return _under(path, recursive=recursive, on_skipped=on_skipped)
    found = [file for match in _matching(path) for file in _under(match, recursive=recursive, on_skipped=on_skipped)]
    if not found:
        raise UsageError(f"{path}: no file matches this pattern (hidden ones are skipped).", param="PATH")
    return found


def _matching(pattern: str) -> list[str]:
    """In order; `**` would give the folders besides what is in them, and go round in circles of links."""
    matches = sorted(set(glob.glob(pattern, recursive=True)))  # noqa: PTH207 - it may begin anywhere
    if "**" not in pattern:
        return matches
    steps = Path(pattern).parts
    fixed = next(at for at, step in enumerate(steps) if glob.has_magic(step))
    found = (Path(match) for match in matches)  # a folder that is not there matches its own `**`
    return [str(path) for path in found if path.is_file() and not _behind_a_link(path, fixed)]


def _behind_a_link(path: Path, fixed: int) -> bool:
    """Whether one of its folders is a link, the first `fixed` ones aside: those were named."""
    return any(folder.is_symlink() for folder in path.parents if len(folder.parts) > fixed)


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
    found, skipped = 0, Counter[str]()
    for root, folders, names in os.walk(folder, onerror=_refused):
        inside = [name for name in folders if recursive]
        skipped[HIDDEN] += sum(name.startswith(".") for name in (*inside, *names))
        folders[:] = sorted(name for name in inside if not name.startswith("."))
        skipped[LINK] += sum(Path(root, name).is_symlink() for name in folders)  # which `walk` does not enter
        for path in (Path(root, name) for name in sorted(names) if not name.startswith(".")):
            if path.is_symlink():
                skipped[LINK] += 1
            elif path.is_file():
                found += 1
                yield FileDocument(path, name=str(path.relative_to(folder)))
            else:
                skipped[ODD] += 1
    for kind, (one, several, what_to_do) in SKIPPED.items():
        if found and (count := skipped[kind]):  # else it is an error that says so
            on_skipped(f"{folder}: skipped {count} {one if count == 1 else several}; {what_to_do}.")


def _refused(error: OSError) -> None:
    raise UsageError(f"{error.filename}: {(error.strerror or 'cannot be read').lower()}.", param="PATH") from error
