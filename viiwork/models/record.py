"""`viiwork-model.json`: what was fetched, from where, pinned to what. Without it a directory is an unfinished pull."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from viiwork.models.names import is_safe

RECORD_FILE = "viiwork-model.json"
SHA256 = r"^[0-9a-f]{64}$"
GGUF = ".gguf"


class Part(BaseModel):
    """A part of the record: frozen; fields of a newer version are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FileRecord(Part):
    """One file of a model, as it was when it was verified."""

    path: str
    """Inside the model's directory, with `/`."""
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=SHA256)]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not is_safe(path):
            raise ValueError("leads out of the model's directory")
        return path


class ModelRecord(Part):
    """All of `viiwork-model.json`."""

    schema_version: Literal[1] = 1
    repo: str
    revisions: Annotated[dict[str, datetime], Field(min_length=1)]
    """The branches, tags and commits it was asked for by, and when each was last seen to stand for `commit`."""
    commit: str
    """Of a directory of one's own a digest of its files."""
    source: str
    """The hub's address; empty for a directory of one's own."""
    directory: str = ""
    """Where the files are, if not beside this record."""
    license: str = ""
    """As the model's card tells it."""
    files: tuple[FileRecord, ...]

    @property
    def pulled(self) -> datetime:
        """When it was last fetched, or found to be here."""
        return max(self.revisions.values())

    @property
    def total_bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.files)

    @property
    def has_safetensors(self) -> bool:
        """Whether it is a directory of safetensors, whatever else is in it."""
        return any(file.path.endswith(".safetensors") for file in self.files)

    @property
    def gguf(self) -> tuple[str, ...]:
        """Its GGUF files that an engine can be pointed at: of a split one the first part."""
        return tuple(
            file.path
            for file in self.files
            if file.path.endswith(GGUF) and ("-of-" not in file.path or "-00001-of-" in file.path)
        )


def read_record(folder: Path) -> ModelRecord | None:
    """The record in `folder`; None when it is missing or damaged, which makes it an unfinished pull."""
    try:
        return ModelRecord.model_validate_json((folder / RECORD_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_record(folder: Path, record: ModelRecord) -> None:
    """Put the record in place in one step, on disk before this returns."""
    fresh = folder / f".{RECORD_FILE}.{os.getpid()}"
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(record.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / RECORD_FILE)
    finally:
        fresh.unlink(missing_ok=True)
