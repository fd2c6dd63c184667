"""What `viiwork doctor` must know of the container that an engine runs in, gathered without starting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from viiwork.containers.client import find_client
from viiwork.containers.image import check_pinned, checked_image
from viiwork.containers.refusals import server_version
from viiwork.doctor.container import ContainerFacts
from viiwork.errors import ViiworkError
from viiwork.recipes.check import BUILT_IN
from viiwork.recipes.load import recipe_for
from viiwork.recipes.vessel import is_boxed
from viiwork.settings import Settings


def container_facts(settings: Settings, workers: tuple[str, ...], environ: Mapping[str, str]) -> ContainerFacts | None:
    """None where the engines of these workers run in no container. Raises SettingsError of a recipe."""
    engine = settings.engine
    if engine.kind in BUILT_IN or not workers:
        return None
    recipe = recipe_for(engine.kind, workers[0])
    if not is_boxed(recipe, engine, environ=environ):
        return None
    facts = ContainerFacts(image=engine.image or recipe.image)
    try:
        client = find_client(engine.container, environ=environ)
        facts = replace(facts, client=f"{client.kind} {server_version(client)}")
    except ViiworkError as error:
        return replace(facts, client_error=error, pin_error=_pin_error(facts.image))
    try:
        return replace(facts, image_bytes=checked_image(client, facts.image).size_bytes)
    except ViiworkError as error:
        return replace(facts, image_error=error)


def _pin_error(image: str) -> ViiworkError | None:
    try:
        check_pinned(image)
    except ViiworkError as error:
        return error
    return None
