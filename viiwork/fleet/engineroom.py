"""What `viiwork doctor` must know of the engines that the settings name, gathered without starting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import psutil

from viiwork.doctor import EngineFacts
from viiwork.errors import ViiworkError
from viiwork.fleet.cards import settle_cards
from viiwork.fleet.containerroom import container_facts
from viiwork.fleet.plan import engine_names
from viiwork.fleet.wanted import engine_sections
from viiwork.recipes.cards import numbers
from viiwork.recipes.check import BUILT_IN, Checked, check_engine, check_fleet, check_server
from viiwork.recipes.launching import kv_bytes_of
from viiwork.settings import Settings

RUNTIME_BYTES = 1200 << 20
"""What vLLM's CPU build takes besides weights, keys and values, measured."""


def engine_facts(settings: Settings, environ: Mapping[str, str]) -> EngineFacts:
    """The facts of all engine workers of this host; a server at a URL is asked what it serves."""
    kind = settings.engine.kind
    container = None
    try:
        settings = settle_cards(settings)
        settings = settings.model_copy(update={"engine": engine_sections(settings)[0], "serve": ()})
        workers = engine_names(settings)
        container = container_facts(settings, workers, environ)
        if kind in BUILT_IN or not workers:
            check_fleet(settings, (), environ=environ)
            return EngineFacts(title=kind, alias=settings.engine.alias or settings.engine.model or "")
        checked = check_engine(settings, worker=workers[0], environ=environ)
        check_server(settings, checked)
    except ViiworkError as error:
        return EngineFacts(title=kind, alias="", error=error, container=container)
    return replace(_of(settings, checked, workers), container=container)


def _of(settings: Settings, checked: Checked, workers: tuple[str, ...]) -> EngineFacts:
    recipe = checked.recipe
    wanted = sum(len(numbers(worker)) for worker in workers) if recipe.pin else 0
    on_host = bool(recipe.command) and not wanted
    one = checked.model.weights_bytes + kv_bytes_of(recipe, settings.engine, checked.model) + RUNTIME_BYTES
    return EngineFacts(
        title=recipe.title,
        alias=checked.alias,
        cards_wanted=wanted,
        needs_bytes=one * len(workers) if on_host else 0,
        available_bytes=psutil.virtual_memory().available,
    )
