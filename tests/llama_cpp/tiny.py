"""The tiny model as a real llama-server serves it, through the recipe that people use."""

from __future__ import annotations

import os
from typing import Any

from tests.llama_cpp.conftest import ENVIRONMENT, MODEL

ALIAS = "tiny"
CONTEXT = 2048
SLOTS = 4


def engine_section(**changes: Any) -> dict[str, Any]:
    """The settings' section `engine`."""
    usual = {"kind": "llama-cpp", "model": str(MODEL), "alias": ALIAS, "slots": SLOTS, "context_tokens": CONTEXT}
    return usual | {"canary_every_s": 0} | changes


def environ() -> dict[str, str]:
    """`llama-server` on PATH."""
    return {"PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}"}
