"""What a backup says of itself: by whom and when it was taken, what it must hold, and a seal over all that."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

FORMAT = 1


class Manifest(BaseModel):
    """What a backup says of itself. Fields of a newer version are ignored within one format."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["viiwork-backup"] = "viiwork-backup"
    version: int = FORMAT
    id: str
    viiwork: str
    schema_version: int
    fleet: str
    prefix: str
    db: int
    server: str
    """What wrote the data: `Valkey 9.1.2`."""
    taken: str
    """When, by Redis' clock, in ISO 8601."""
    dump_bytes: int
    dump_sha256: str
    blobs: int
    blob_bytes: int
    sums_sha256: str

    def to_json(self) -> bytes:
        """As it stands in the file, with a seal: the digest of all the rest."""
        fields = self.model_dump(mode="json")
        return json.dumps({**fields, "seal": seal_of(fields)}, indent=1).encode()


def seal_of(fields: dict[str, Any]) -> str:
    """The digest of a manifest's fields, those of a newer version included."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
