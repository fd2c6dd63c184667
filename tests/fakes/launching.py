"""The fake server in place of a real one: started by the real one's recipe, with nothing but the program replaced."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from viiwork.recipes import Dialect, Launch, Recipe
from viiwork.recipes.launching import Place
from viiwork.recipes.launching import make_launch as made_launch
from viiwork.recipes.load import load_recipe
from viiwork.recipes.modelfacts import ModelFacts
from viiwork.settings import EngineSection

ROOT = Path(__file__).resolve().parents[2]
RECIPES: dict[Dialect, str] = {"vllm": "vllm-cpu", "llama.cpp": "llama-cpp", "tgi": "tgi", "mlc": "mlc-llm"}
"""Whose health page, metrics, key and priority the fake of this dialect has."""
DIALECTS: tuple[Dialect, ...] = ("openai", "vllm", "llama.cpp", "tgi", "mlc")
ALIAS = "fake"
QUICK: dict[str, Any] = {"start_timeout_s": 20.0, "stop_grace_s": 5.0, "slots": 4, "context_tokens": 2048}


def fake_recipe(dialect: Dialect, *, flags: Sequence[str] = (), **changes: Any) -> Recipe:
    """The real recipe, but what is started is the fake. `changes` are fields of a Recipe."""
    name = RECIPES.get(dialect)
    real = load_recipe(name) if name else Recipe(title="some server", dialect=dialect, health="/v1/models")
    command: tuple[str, ...] = ("{python}", "-m", "tests.fakes.openai_server", "--port", "{port}", "--dialect", dialect)
    command += ("--model", real.serves_as, "--slots", "{slots}", "--context", "{context}")
    told = {name: text for name, text in real.env.items() if "{key}" in text}
    replaced = {
        "title": f"fake {real.title}",
        "command": (*command, "--scratch", "{scratch}", *flags),
        "env": {"PYTHONPATH": str(ROOT), **told},
        "module": "",
        "python": (),
        "pin": "",
        "model_is": "anything",
    }
    return Recipe.model_validate(real.model_dump() | replaced | QUICK | changes)


def write_recipe(folder: Path, dialect: Dialect, *, flags: Sequence[str] = (), **changes: Any) -> Path:
    """The recipe's file, to be named as `engine.kind`."""
    recipe = fake_recipe(dialect, flags=flags, **changes)
    file = folder / f"fake-{dialect}.toml"
    file.write_text(as_toml(recipe), "utf-8")
    return file


def engine_section(folder: Path, dialect: Dialect, *, flags: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """The settings of an engine that is the fake; a recipe and an empty model's directory are made in `folder`."""
    model = folder / "fake-model"
    model.mkdir(exist_ok=True)
    recipe = write_recipe(folder, dialect, flags=flags, **changes)
    return {"kind": str(recipe), "model": str(model), "alias": ALIAS, "python": sys.executable, "canary_every_s": 0}


def make_launch(
    dialect: Dialect, *, state_dir: Path, worker: str = "cpu0", flags: Sequence[str] = (), **changes: Any
) -> Launch:
    """The fake as a guard is to start it. `changes` are fields of a Launch."""
    place = Place(environ={}, state_dir=state_dir)
    (place.state_dir / "engines" / worker).mkdir(parents=True, exist_ok=True)
    launch = made_launch(
        fake_recipe(dialect, flags=flags),
        EngineSection(canary_every_s=0),
        worker=worker,
        alias=ALIAS,
        model=ModelFacts(path="fake-model"),
        place=place,
        program=sys.executable,
    )
    return Launch.model_validate(launch.model_dump() | changes)


def as_toml(recipe: Recipe) -> str:
    """The recipe as a file of one's own."""
    return _toml(recipe.model_dump(exclude_none=True))


def _toml(table: Mapping[str, Any]) -> str:
    """Of one level of tables; JSON's strings, numbers and lists are TOML's."""
    flat = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    deep = [f"\n[{key}]\n{_toml(value)}" for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([*flat, *deep]) + "\n"
