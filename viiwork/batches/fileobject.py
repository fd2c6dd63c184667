"""What a client sent for later use, or a batch wrote, as the OpenAI API shows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from viiwork.jobs import new_id

FILE_ID = re.compile(r"file-[0-9a-z]{26}")
BATCH_INPUT, BATCH_OUTPUT = "batch", "batch_output"
PURPOSES = (BATCH_INPUT, "user_data", "assistants", "vision", "evals")
"""What a file may be sent for; all but `batch` say the same: a document."""
MAX_BATCH_BYTES = 200 * 1000 * 1000
DAY_S = 86_400
SHORTEST_S, LONGEST_S = 3600, 30 * DAY_S
"""How long a file may be asked to be kept, as the API has it."""
BATCH_INPUT_S = 30 * DAY_S
"""How long the input of a batch is kept where nobody says; other files are kept until somebody removes them."""


def new_file_id() -> str:
    """An id that sorts by the time of its making."""
    return f"file-{new_id('job').partition('_')[2]}"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's record. Times are Unix milliseconds on Redis' clock."""

    id: str
    tenant: str
    blob: str
    bytes: int
    filename: str
    purpose: str
    created_ms: int
    sha256: str
    expires_ms: int | None = None

    def shown(self) -> dict[str, Any]:
        """As clients see it."""
        return FileObject(
            id=self.id,
            bytes=self.bytes,
            created_at=self.created_ms // 1000,
            expires_at=self.expires_ms // 1000 if self.expires_ms else None,
            filename=self.filename,
            purpose=self.purpose,
        ).model_dump()


class FileObject(BaseModel):
    """A file. Times are Unix seconds."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"
    status_details: None = None


class FilePage(BaseModel):
    """Some of the files; `after` with `last_id` goes on."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """The receipt of a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True
