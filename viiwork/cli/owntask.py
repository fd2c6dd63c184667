"""Tasks of one's own: a TOML file with a built-in task and its options, by path or by name from the settings folder."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from viiwork.errors import UsageError
from viiwork.work import AnalysisTask, Label

SUFFIX = ".toml"


class OwnTask(BaseModel):
    """What such a file may say."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    task: AnalysisTask
    """The built-in task that it is."""
    question: str = ""
    questions: tuple[str, ...] = ()
    prompt: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    """Names with their descriptions."""
    multi: bool = False
    rationale: bool = False
    schema_: dict[str, Any] | str | None = Field(default=None, alias="schema")
    """A table, or the path of a JSON file, from this one's folder on."""
    quotes: bool = True
    length: Literal["", "short", "medium", "long"] = ""
    style: Literal["", "prose", "bullets"] = ""
    language: str = ""
    max_tokens: int | None = Field(default=None, ge=1)

    @property
    def form(self) -> dict[str, Any] | None:
        """Its schema, once it was read."""
        return self.schema_ if isinstance(self.schema_, dict) else None

    @property
    def classes(self) -> tuple[Label, ...]:
        return tuple(Label(name=name, description=told) for name, told in self.labels.items())


def find_own(name: str, environ: Mapping[str, str]) -> Path | None:
    """The file that `--task NAME` means: a path, or one in the folder for tasks; None where it is no such name."""
    if name.endswith(SUFFIX):
        return Path(name)
    if not name or name in frozenset(AnalysisTask) or "/" in name:
        return None
    found = own_folder(environ) / f"{name}{SUFFIX}"
    return found if found.is_file() else None


def own_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where one keeps tasks of one's own: `$XDG_CONFIG_HOME/viiwork/tasks`, mostly `~/.config/viiwork/tasks`."""
    told = (os.environ if environ is None else environ).get("XDG_CONFIG_HOME", "")
    return (Path(told) if told.startswith("/") else Path.home() / ".config") / "viiwork" / "tasks"


def read_own(path: Path) -> OwnTask:
    """The task in the file. Raises UsageError naming the file, and the line or the field."""
    try:
        made = OwnTask.model_validate(tomllib.loads(_read(path)))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}.", param="task") from error
    except ValidationError as error:
        first = error.errors()[0]
        where, said = ".".join(map(str, first["loc"])), first["msg"]
        raise UsageError(f"{path}: {where}: {said[0].lower()}{said[1:]}.", param="task") from error
    if not isinstance(made.schema_, str):
        return made
    return made.model_copy(update={"schema_": read_schema(path.parent / made.schema_)})


def read_schema(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UsageError naming the line that is no JSON."""
    try:
        schema = json.loads(_read(path, param="schema"))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: is no JSON ({error.msg}).", param="schema") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deep.", param="schema") from error
    if not isinstance(schema, dict):
        hint = 'Such as {"type": "object", "properties": {"total": {"type": "number"}}}; docs/documents.md says more.'
        raise UsageError(f"{path}: is no JSON schema of an object.", hint=hint, param="schema")
    return schema


def _read(path: Path, *, param: str = "task") -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}.", param=param) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text.", param=param) from error
