"""What is looked at before an engine is started: is there such a kind, its program, its model?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.devices.host import ROOT
from viiwork.errors import SettingsError, StartupError
from viiwork.models import find
from viiwork.recipes.cards import numbers, seen_cards
from viiwork.recipes.load import file_of, is_path, kind_for, known_recipes, load_recipe, unknown
from viiwork.recipes.meant import MANY, meant, not_served, serves, shown_address
from viiwork.recipes.modelfacts import CONFIG, GGUF, MLC_CONFIG, ModelFacts, alias_of, checked_alias, look_at
from viiwork.recipes.programs import find_program, program_in_image
from viiwork.recipes.recipe import Recipe
from viiwork.recipes.script import check_script
from viiwork.recipes.served import Told, ask_served, read_key
from viiwork.recipes.vessel import Vessel, vessel_of
from viiwork.settings import Settings

BUILT_IN = ("extractive", "simulated", "noop")


@dataclass(frozen=True, slots=True)
class Checked:
    """All that an engine needs is there."""

    recipe: Recipe
    model: ModelFacts
    alias: str
    program: str
    """Its interpreter, or the program itself; empty for a server that somebody else runs."""
    vessel: Vessel | None = None
    """The container that it runs in, if it does."""
    name: str = ""
    """What such a server calls its model."""
    refuses_key: bool = False
    """Such a server answers, but wants a key, or another one."""
    unserved: str = ""
    """Such a server answers, and these are the models that it has: not the one that is wanted."""


def check_fleet(settings: Settings, workers: tuple[str, ...], *, environ: Mapping[str, str]) -> None:
    """Whether the engines of these workers could be started, as far as looking can tell.

    Raises SettingsError, StartupError, NotFound or UsageError, each in one line.
    """
    kind = settings.engine.kind
    if kind in BUILT_IN:
        built_in_alias(settings, kind)
        return
    if not is_path(kind) and kind not in known_recipes():
        raise unknown(kind, (*BUILT_IN, *known_recipes()))
    for worker in workers[:1]:  # they differ in their cards alone
        checked = check_engine(settings, worker=worker, environ=environ)
        check_server(settings, checked)
        if not settings.devices.spec:  # else the cards themselves were counted
            check_cards(checked.recipe, workers)


def check_server(settings: Settings, checked: Checked) -> None:
    """Raises StartupError where a server answers and refuses the key, SettingsError where it has other models.

    A worker that runs does not end for that: its guard tells of it and looks again.
    """
    if checked.refuses_key:
        raise _key_refused(settings)
    if checked.unserved:
        message = f"{not_served(settings.engine.url or '', checked.name)}."
        raise SettingsError(message, hint=f"{checked.unserved}.", param="engine.model")


def check_cards(recipe: Recipe, workers: tuple[str, ...], *, root: Path = ROOT) -> None:
    """Two engines on one card take each other's memory. Raises SettingsError."""
    wanted = sum(len(numbers(worker)) for worker in workers)
    seen = seen_cards(recipe.pin, root=root) if recipe.pin and wanted else 0
    if seen and wanted > seen:
        cards = "1 card" if seen == 1 else f"{seen} cards"
        raise SettingsError(
            f"{wanted} engines want a card each, and this computer shows {cards}.",
            hint=f"Start it with --gpus {seen}.",
            param="workers.gpus",
        )


def check_engine(settings: Settings, *, worker: str, environ: Mapping[str, str], near: Path | None = None) -> Checked:
    """The engine of one worker. Raises SettingsError, StartupError, NotFound or UsageError, each in one line."""
    engine = settings.engine
    kind = kind_for(engine.kind, worker)
    recipe = load_recipe(kind)
    vessel = vessel_of(recipe, engine, environ=environ, near=near)
    if vessel is None:
        check_script(recipe.command, file=file_of(kind), install=recipe.install)
        program = find_program(recipe, python=engine.python, environ=environ, near=near)
    else:
        program = program_in_image(recipe)
    if not recipe.command:
        return _elsewhere(recipe, settings)
    if engine.url:
        raise SettingsError(
            f"{recipe.title} is started here.", hint="A URL goes with --engine url.", param="engine.url"
        )
    if not recipe.needs_model and not engine.model:
        return Checked(recipe, ModelFacts(), _alias(settings, recipe.title), program, vessel)
    facts = look_at(model_path(recipe, settings))
    return Checked(recipe, facts, _alias(settings, engine.model or ""), program, vessel)


def model_path(recipe: Recipe, settings: Settings) -> Path:
    """The model's directory or file, of the form that the engine takes. Raises SettingsError, NotFound, UsageError."""
    name = settings.engine.model
    if not name:
        form = "a GGUF file" if recipe.model_is == "gguf" else "a directory"
        hint = f"Name {form}, or a model that was pulled, with --model."
        raise SettingsError(f"{recipe.title} needs a model.", hint=hint, param="engine.model")
    path = find(name, settings=settings)
    if recipe.model_is == "directory":
        _check_directory(recipe, path)
    if recipe.model_is == "gguf":
        _check_gguf(recipe, path)
    if not os.access(path, os.R_OK):
        raise SettingsError(f"{path} cannot be read.", hint="Check who owns it.", param="engine.model")
    return path


def _check_directory(recipe: Recipe, path: Path) -> None:
    if path.is_file():
        hint = "A GGUF file goes with --engine llama-cpp." if path.suffix == GGUF else "Name its directory."
        raise _unfit(f"{recipe.title} takes a model's directory, and {path} is a file.", hint)
    configs = ("config.json", MLC_CONFIG) if recipe.dialect == "mlc" else (CONFIG,)
    if not any((path / name).is_file() for name in configs):
        inside = sorted(entry.name for entry in path.iterdir() if (entry / CONFIG).is_file())[:3]
        hint = (
            f"In it are models: {', '.join(inside)}." if inside else "Name the directory that holds the model's files."
        )
        raise _unfit(f"{path} has no {configs[-1]}.", hint)
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json")):
        raise _unfit(f"{path} has no tokenizer (tokenizer.json).", "Fetch all files of the model.")


def _check_gguf(recipe: Recipe, path: Path) -> None:
    if path.is_dir():
        files = sorted(path.glob(f"*{GGUF}"))
        hint = f"Name one of its files: {files[0]}." if files else "It holds no GGUF file."
        raise _unfit(f"{recipe.title} takes a GGUF file, and {path} is a directory.", hint)
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise _unfit(f"{path} is no GGUF file.", "Fetch the model again.")


def _unfit(message: str, hint: str) -> SettingsError:
    return SettingsError(message, hint=hint, param="engine.model")


def _elsewhere(recipe: Recipe, settings: Settings) -> Checked:
    """A server that somebody else runs: it may be down just now, and then tells nothing."""
    engine = settings.engine
    if not engine.url:
        hint = "Say where it is: --url http://host:port."
        raise SettingsError(f"{recipe.title} needs its address.", hint=hint, param="engine.url")
    told = ask_served(engine.url, key=read_key(engine.key_file))
    if told.refuses_key and not engine.model:
        raise _key_refused(settings)
    served = told.models
    folder = Path(engine.model).expanduser() if engine.model else None
    local = folder is not None and folder.is_dir()
    facts = look_at(folder) if folder is not None and local else ModelFacts()
    wanted, names = "" if local else engine.model or "", [model.name for model in served]
    name = (meant(wanted, names) or wanted) if wanted else _its_only_name(engine.url, told)
    unserved = serves(names) if wanted and names and name not in names else ""
    context = next((model.context_tokens for model in served if model.name == name), None)
    model = ModelFacts(
        context_tokens=context or facts.context_tokens, tokenizer=facts.tokenizer, kv_bytes=facts.kv_bytes
    )
    alias = _alias(settings, engine.model if local and engine.model else name)
    return Checked(recipe, model, alias, "", name=name, refuses_key=told.refuses_key, unserved=unserved)


def _key_refused(settings: Settings) -> StartupError:
    engine = settings.engine
    shown = shown_address(engine.url or "")
    if engine.key_file is None:
        hint = "Put the key into a file, and give it with --key-file FILE (engine.key_file)."
        return StartupError(f"{shown} answers, but wants a key.", hint=hint)
    return StartupError(f"{shown} answers, but refuses the key.", hint=f"Check the one in {engine.key_file}.")


def _its_only_name(url: str, told: Told) -> str:
    """What the server calls its model, where nobody says. Raises SettingsError, StartupError."""
    shown = shown_address(url)
    names = [model.name for model in told.models]
    if len(names) == 1:
        return names[0]
    if names:
        hint = f"Say which with --model: {', '.join(names[:MANY])}."
        raise SettingsError(f"{shown} serves several models.", hint=hint, param="engine.model")
    hint = "Start it first, or say with --model what it calls its model: the fleet then comes up and waits for it."
    why = f" ({told.trouble})" if told.trouble else ""
    raise StartupError(f"{shown} does not answer{why}, so that it is not known what it serves.", hint=hint)


def _alias(settings: Settings, name: str) -> str:
    """As a person said, else made from the model's name."""
    alias = settings.engine.alias
    return checked_alias(alias, given=alias) if alias else alias_of(name)


def built_in_alias(settings: Settings, default: str) -> str:
    """The name under which a built-in engine is served. Raises SettingsError."""
    engine = settings.engine
    alias = engine.alias or engine.model or default
    return checked_alias(alias, given=alias, setting="engine.alias" if engine.alias else "engine.model")
