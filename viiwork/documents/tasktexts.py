"""The tasks as they are written down in `tasks/*.toml`: what a model is told, and how its answers are put together."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from viiwork.work import AnalysisTask

Stage = Literal["map", "reduce"]
MergeRule = Literal["reduce", "vote", "best", "agree"]
"""By another engine call; by scores or votes; the most confident one, else by a call; field by field."""
Wording = Annotated[Mapping[str, Any], Field(default_factory=dict)]
_HOLE = re.compile(r"\{([a-z_]+)\}")


class Below(BaseModel):
    """What is said where the document comes first: `map` or `reduce` above it, `last` below."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    map: str
    reduce: str
    last: str


class TaskText(BaseModel):
    """One file of `tasks/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    merge: MergeRule
    map: str
    reduce: str = ""
    """Empty where no engine is asked to put answers together."""
    language: Wording
    length: Wording
    form: Wording
    below: Below | None = None

    def told(self, stage: Stage, words: Mapping[str, str]) -> str:
        """What a model is told, with each `{name}` filled in once: what is filled in is not looked at again."""
        text = (self.reduce or self.map) if stage == "reduce" else self.map
        return filled(text, words)


def filled(text: str, words: Mapping[str, str]) -> str:
    """The text with each `{name}` filled in once."""
    return _HOLE.sub(lambda hole: words.get(hole[1], hole[0]), text)


@cache
def task_text(task: AnalysisTask) -> TaskText:
    """The task's file."""
    raw = files("viiwork.documents").joinpath("tasks", f"{task.value}.toml").read_bytes()
    return TaskText.model_validate(tomllib.loads(raw.decode()))
