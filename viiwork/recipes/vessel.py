"""Whether an engine runs as a process of this host or in a container, and in which image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from viiwork.containers.client import Client, find_client
from viiwork.containers.image import Image, checked_image
from viiwork.errors import SettingsError, StartupError
from viiwork.recipes.programs import find_program
from viiwork.recipes.recipe import Recipe
from viiwork.settings import EngineSection


@dataclass(frozen=True, slots=True)
class Vessel:
    """The program that runs the container, and the image in it."""

    client: Client
    image: Image


def vessel_of(
    recipe: Recipe, engine: EngineSection, *, environ: Mapping[str, str], near: Path | None = None
) -> Vessel | None:
    """None for a process. Raises SettingsError or StartupError with what to do."""
    if not is_boxed(recipe, engine, environ=environ, near=near):
        return None
    image = engine.image or recipe.image
    if not image:
        raise SettingsError(
            f"{recipe.title} names no image to run in {engine.container}.",
            hint='Set engine.image, or engine.container = "none".',
            param="engine.image",
        )
    client = find_client(engine.container, environ=environ)
    return Vessel(client, checked_image(client, image))


def is_boxed(recipe: Recipe, engine: EngineSection, *, environ: Mapping[str, str], near: Path | None = None) -> bool:
    """Whether it runs in a container on this host."""

    def here() -> bool:
        try:
            find_program(recipe, python=engine.python, environ=environ, near=near)
        except StartupError:
            return False
        return True

    return in_container(recipe, engine, is_here=here)


def in_container(recipe: Recipe, engine: EngineSection, *, is_here: Callable[[], bool]) -> bool:
    """Whoever names an image or a program for containers means one. Pure; `is_here` looks for the engine's program."""
    if engine.container == "none" or not recipe.command:
        return False
    if engine.image or engine.container in ("docker", "podman"):
        return True
    if not recipe.image:
        return False
    return recipe.container.when == "always" or not (engine.python or is_here())
