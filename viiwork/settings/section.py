"""One table of the settings, and the kinds of value that several tables have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,31}$"
HOST_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MIB = 1024 * 1024


class Section(BaseModel):
    """One table of `viiwork.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
