"""Which models the fleet is to serve, and, where their files tell, what each takes of a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from viiwork.devices.choose import CPU, NONE
from viiwork.errors import ModelError, SettingsError, UsageError
from viiwork.models import find
from viiwork.placement.shape import ModelShape
from viiwork.placement.split import Server
from viiwork.placement.vram import UTILIZATION
from viiwork.placement.wish import SEQUENCES, Wish, shape_of
from viiwork.recipes.check import BUILT_IN, model_path
from viiwork.recipes.load import is_path, known_recipes, recipe_for
from viiwork.recipes.modelfacts import alias_of
from viiwork.recipes.recipe import Recipe
from viiwork.settings import EngineSection, ServeEntry, Settings

SIMULATED = "simulated"
SERVERS: dict[str, Server] = {"vllm": "vllm", "llama.cpp": "llama.cpp"}
"""How a recipe's dialect splits, of those that a plan is made for."""
MEMORY_FLAG = "--gpu-memory-utilization"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model that is to be served."""

    engine: EngineSection
    """What its engines go by: the fleet's settings with what is this model's own."""
    wish: Wish | None = None
    """None where nothing is known of its shape, so that nothing can be planned. Its shape's name is the alias."""


def wanted_models(settings: Settings) -> tuple[Wanted, ...]:
    """All of them; one without a wish where nothing is planned. Raises SettingsError, NotFound or UsageError."""
    sections, server = engine_sections(settings), planned_for(settings)
    if server is None:
        if settings.serve:
            raise _nothing_to_plan(settings)
        return tuple(Wanted(section) for section in sections)
    found = tuple(_wanted(settings, entry, server) for entry in _entries(settings))
    lacking = next((each for each in found if each.wish is None), None)
    if settings.serve and lacking is not None:
        raise SettingsError(
            f"nothing is known of the size of {lacking.engine.model}, so that it cannot be placed beside others.",
            hint="Name a model of the catalogue (`viiwork plan` lists it), one that was pulled, or a path.",
            param="serve.model",
        )
    _check_names(found)
    return found


def engine_sections(settings: Settings) -> tuple[EngineSection, ...]:
    """The engine's settings as each model that is named has them. Raises SettingsError. Pure."""
    return tuple(_section(settings.engine, entry) for entry in _entries(settings))


def planned_for(settings: Settings) -> Server | None:
    """How the engine splits models over the cards that the settings name; None where each card gets a worker unplanned.

    Raises SettingsError for a recipe that cannot be read.
    """
    kind = settings.engine.kind
    if settings.devices.spec in ("", NONE, CPU):
        return None
    if kind in BUILT_IN:
        return "vllm" if kind == SIMULATED else None
    if not is_path(kind) and kind not in known_recipes():
        return None  # of one that nobody knows is told when all of it is checked
    recipe = recipe_for(kind, "gpu0")
    return SERVERS.get(recipe.dialect) if recipe.command and recipe.takes_groups else None


def utilization_of(settings: Settings) -> float:
    """Which part of a card's memory the engine is told to take; the last word counts."""
    kind = settings.engine.kind
    words = [*(() if kind in BUILT_IN else recipe_for(kind, "gpu0").command), *settings.engine.args]
    told = [word for flag, word in pairwise(words) if flag == MEMORY_FLAG]
    told += [word.partition("=")[2] for word in words if word.startswith(f"{MEMORY_FLAG}=")]
    try:
        return min(1.0, max(0.1, float(told[-1]))) if told else UTILIZATION
    except ValueError:
        return UTILIZATION


def _entries(settings: Settings) -> Sequence[ServeEntry | None]:
    """None stands for `engine.model`. Raises SettingsError where both name models."""
    if settings.serve and settings.engine.model:
        raise SettingsError(
            "engine.model and [[serve]] both name models.",
            hint="Leave engine.model out, or give it an entry of its own among [[serve]].",
            param="engine.model",
        )
    return settings.serve or (None,)


def _section(engine: EngineSection, entry: ServeEntry | None) -> EngineSection:
    if entry is None:
        return engine
    own = {
        "model": entry.model,
        "alias": entry.alias or alias_of(entry.model),
        "context_tokens": entry.context_tokens or engine.context_tokens,
        "args": (*engine.args, *entry.args),
    }
    return engine.model_copy(update=own)


def _wanted(settings: Settings, entry: ServeEntry | None, server: Server) -> Wanted:
    section = _section(settings.engine, entry)
    recipe = None if section.kind in BUILT_IN else recipe_for(section.kind, "gpu0")
    shape = _shape(settings.model_copy(update={"engine": section}), recipe, server)
    if shape is None:
        return Wanted(section)
    alias = section.alias or alias_of(section.model or shape.name)
    wish = Wish(
        shape=replace(shape, name=alias),
        share=entry.share if entry else 1.0,
        replicas=entry.replicas if entry else 1,
        context_tokens=_context(section, recipe, shape),
        sequences=section.slots or (recipe.slots if recipe else SEQUENCES),
    )
    return Wanted(section.model_copy(update={"alias": alias}), wish)


def _shape(settings: Settings, recipe: Recipe | None, server: Server) -> ModelShape | None:
    """By its files; of the simulated engine also by the catalogue. None where they do not tell."""
    name = settings.engine.model
    if not name:
        return None

    def locate(named: str) -> Path:
        return find(named, settings=settings) if recipe is None else model_path(recipe, settings)

    if recipe is not None:
        path = str(locate(name))  # a model that is not there is an error of its own
        try:
            return shape_of(path, engine=server, locate=lambda _: Path(path))
        except UsageError:
            return None
    try:
        return shape_of(name, engine=server, locate=locate)
    except (UsageError, ModelError):
        return None


def _context(section: EngineSection, recipe: Recipe | None, shape: ModelShape) -> int:
    """As `recipes.launching.context_of` has it: never more than the model's own; 0 where nobody says."""
    wished = section.context_tokens or (recipe.context_tokens if recipe else 0)
    return min(wished, shape.max_position_embeddings or wished)


def _check_names(found: Sequence[Wanted]) -> None:
    """Each has its own queue. Raises SettingsError."""
    names = [each.engine.alias for each in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        hint = "Give one of them another alias; for more of one model, its `replicas` or `share`."
        raise SettingsError(f"two models would be served as {twice}.", hint=hint, param="serve.alias")


def _nothing_to_plan(settings: Settings) -> SettingsError:
    if settings.devices.spec in ("", NONE, CPU):
        hint = "Name the cards: --devices auto, or devices.spec. Without cards a fleet serves one model."
        return SettingsError("several models need cards that are known.", hint=hint, param="devices.spec")
    kind = settings.engine.kind
    hint = "There are simulated, vllm, vllm-gfx906, llama-cpp, and recipes with {pipeline_parallel} or {tensor_split}."
    return SettingsError(f"{kind} serves one model: no plan is made for it.", hint=hint, param="engine.kind")
