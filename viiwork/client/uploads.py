"""Documents on their way to the service: files as they lie on disk, or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from viiwork.client.folders import OnSkipped, told_apart, unfolded
from viiwork.errors import UsageError
from viiwork.multipart import FileDocument, TextDocument

Document = str | Path | FileDocument | TextDocument
"""The path of a file or folder, a file with a name of its own, or a text."""
OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all; by an `AsyncClient` on a thread of its own."""


def sorted_out(
    documents: Document | Iterable[Document],
    *,
    on_skipped: OnSkipped = lambda _text: None,
) -> tuple[list[FileDocument], list[TextDocument]]:
    """Files and texts; folders are unfolded.

    Raises UsageError unless there is one kind only, and at least one document.
    """
    given = [documents] if isinstance(documents, Document) else list(documents)
    texts = [document for document in given if isinstance(document, TextDocument)]
    others = [document for document in given if not isinstance(document, TextDocument)]
    if others and texts:
        raise UsageError("documents: send files and texts in two analyses.", param="documents")
    if not given:
        raise UsageError("documents: there is nothing to analyse.", param="documents")
    return _found(others, on_skipped=on_skipped), texts


def note(document: FileDocument | TextDocument) -> dict[str, Any]:
    """What the service is told of a document besides its content."""
    name = document.shown_name if isinstance(document, FileDocument) else document.name
    return {"name": name[-1024:], "custom_id": document.custom_id, "metadata": dict(document.metadata)}


def size_bytes(path: Path) -> int:
    """A file's size. Raises UsageError for what cannot be sent."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.") from error


def _found(given: Sequence[str | Path | FileDocument], *, on_skipped: OnSkipped) -> list[FileDocument]:
    """The files in their order. Those that have no name of their own are told apart by their folders."""
    groups = [[each] if isinstance(each, FileDocument) else _unnamed(each, on_skipped) for each in given]
    unnamed = [not isinstance(each, FileDocument) for each, group in zip(given, groups, strict=True) for _ in group]
    files = [file for group in groups for file in group]
    told = iter(told_apart([file for file, free in zip(files, unnamed, strict=True) if free]))
    return [next(told) if free else file for file, free in zip(files, unnamed, strict=True)]


def _unnamed(path: object, on_skipped: OnSkipped) -> list[FileDocument]:
    if not isinstance(path, str | Path):
        kind = type(path).__name__
        raise UsageError(f"documents: a {kind} is no path, no FileDocument and no TextDocument.", param="documents")
    return unfolded(str(path), on_skipped=on_skipped)
