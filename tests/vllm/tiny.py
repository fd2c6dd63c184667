"""The tiny model as real vLLM serves it, through the recipe that people use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fakes.launching import as_toml
from tests.vllm.conftest import MODEL
from viiwork.recipes.load import load_recipe

ALIAS = "tiny"
CONTEXT = 2048
SLOTS = 16
START_S = 150.0
"""On two cores that do other things too."""


def engine_section(**changes: Any) -> dict[str, Any]:
    """The settings' section `engine`."""
    usual = {"kind": "vllm", "model": str(MODEL), "alias": ALIAS, "slots": SLOTS, "context_tokens": CONTEXT}
    return usual | {"canary_every_s": 0} | changes


def write_two_process_recipe(folder: Path) -> Path:
    """The same vLLM as cards run it: the HTTP server and, in a process of its own, the EngineCore."""
    recipe = load_recipe("vllm-cpu")
    env = recipe.env | {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    file = folder / "vllm-two-processes.toml"
    file.write_text(as_toml(recipe.model_copy(update={"env": env})), "utf-8")
    return file
