"""What every record on the internal wire has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

SCHEMA = 7
"""Major version of the records in Redis and of the hints that this version knows; a job may need less (`schema`)."""


class Wire(BaseModel):
    """A record on the internal wire: frozen, and deaf to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def as_json(record: BaseModel) -> str:
    """The record as compact JSON, defaults left out."""
    return record.model_dump_json(exclude_defaults=True)


def public(record: BaseModel) -> dict[str, Any]:
    """The record as a client sees it: JSON types, absent values left out."""
    return record.model_dump(mode="json", exclude_none=True)
