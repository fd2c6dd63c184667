"""Recipes from their files."""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from viiwork.errors import SettingsError
from viiwork.recipes.recipe import Recipe

FOLDER = Path(__file__).parent
SUFFIX = ".toml"
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
PLACEHOLDERS = frozenset(
    {
        *("python", "model", "alias", "host", "port", "key", "slots", "context", "kv_tokens", "kv_bytes", "threads"),
        *("scratch", "cards", "tensor_parallel", "pipeline_parallel", "tensor_split"),
    }
)
HERE = "{here}"


def known_recipes() -> tuple[str, ...]:
    """The names of the recipes that come with VIIWork."""
    return tuple(sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}")))


def load_recipe(kind: str) -> Recipe:
    """The recipe of this name, or in this file. Raises SettingsError that names file, key and reason."""
    if not is_path(kind) and kind not in known_recipes():
        raise unknown(kind, known_recipes())
    path = file_of(kind)
    return _recipe(_table(path), path)


def file_of(kind: str) -> Path:
    """Where the recipe of this name is, or which file of one's own this is."""
    return Path(kind).expanduser() if is_path(kind) else FOLDER / f"{kind}{SUFFIX}"


def kind_for(kind: str, worker: str) -> str:
    """The recipe that a worker takes: one without a card may need another. Raises SettingsError."""
    return (load_recipe(kind).on_cpu if worker.startswith("cpu") else "") or kind


def recipe_for(kind: str, worker: str) -> Recipe:
    """The same, read from its file. Raises SettingsError."""
    return load_recipe(kind_for(kind, worker))


def is_path(kind: str) -> bool:
    """Whether an engine's kind is a file of one's own and no name."""
    return kind.endswith(SUFFIX) or os.sep in kind


def unknown(kind: str, known: tuple[str, ...]) -> SettingsError:
    """What is said of a kind that nobody knows."""
    near = get_close_matches(kind, known, n=1)
    meant = f"Did you mean {near[0]}? " if near else ""
    hint = f"{meant}There are {', '.join(known)}, or the path of a recipe of your own (./my.toml)."
    return SettingsError(f"engine.kind: there is no engine '{kind}'.", hint=hint, param="engine.kind")


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise _wrong(path, "there is no such file") from error
    except OSError as error:
        raise _wrong(path, os.strerror(error.errno).lower() if error.errno else "it cannot be read") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, f"it is not UTF-8 (byte {error.start + 1})") from error
    except tomllib.TOMLDecodeError as error:
        raise _wrong(path, f"it is not valid TOML: {error}") from error


def _recipe(table: dict[str, Any], path: Path) -> Recipe:
    try:
        recipe = Recipe.model_validate(_placed(table, str(path.parent.absolute())))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        missing = {"extra_forbidden": "there is no such key in a recipe", "missing": "it is missing"}
        raise _wrong(path, missing.get(first["type"], _lower(first["msg"])), key=key) from error
    _check_placeholders(recipe, path)
    if secret := next((name for name in recipe.inherit if name.startswith("VIIWORK_")), ""):
        raise _wrong(path, f"{secret} is ours, and may hold a password", key="inherit")
    return recipe


def _placed(value: Any, here: str) -> Any:
    """The table with {here} replaced by the recipe's folder."""
    if isinstance(value, str):
        return value.replace(HERE, here)
    if isinstance(value, list):
        return [_placed(item, here) for item in value]
    return {key: _placed(item, here) for key, item in value.items()} if isinstance(value, dict) else value


def _check_placeholders(recipe: Recipe, path: Path) -> None:
    """A misspelt one would reach the engine as it stands."""
    places = {"command": " ".join(recipe.command), "split": " ".join(recipe.split), "serves_as": recipe.serves_as}
    places |= {f"env.{name}": text for name, text in recipe.env.items()}
    for key, text in places.items():
        for name in PLACEHOLDER.findall(text):
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in sorted(PLACEHOLDERS))
                raise _wrong(path, f"{{{name}}} stands for nothing", key=key, hint=f"There are {known} and {HERE}.")
    if recipe.command and not any("{port}" in text for text in (*recipe.command, *recipe.env.values())):
        raise _wrong(path, "it must tell the server its {port}", key="command")


def _wrong(path: Path, reason: str, *, key: str = "", hint: str = "") -> SettingsError:
    where = f"{path}: {key}" if key else str(path)
    hint = hint or "docs/engines.md tells how a recipe is written."
    return SettingsError(f"{where}: {reason}.", hint=hint, param="engine.kind")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
