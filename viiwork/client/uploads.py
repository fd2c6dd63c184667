"""Documents on their way to the service: files as they lie on disk, or texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from viiwork.errors import UsageError
from viiwork.multipart import FileDocument, TextDocument

Document = str | Path | FileDocument | TextDocument
OnUpload = Callable[[int, int], None]
"""Called with the bytes sent so far and the bytes in all."""


def sorted_out(documents: Iterable[Document]) -> tuple[list[FileDocument], list[TextDocument]]:
    """Files and texts. Raises UsageError unless there is one kind only, and at least one document."""
    files: list[FileDocument] = []
    texts: list[TextDocument] = []
    for document in documents:
        if isinstance(document, TextDocument):
            texts.append(document)
        else:
            files.append(document if isinstance(document, FileDocument) else FileDocument(Path(document)))
    if files and texts:
        raise UsageError("documents: send files and texts in two analyses.", param="documents")
    if not files and not texts:
        raise UsageError("documents: there is nothing to analyse.", param="documents")
    return files, texts


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
