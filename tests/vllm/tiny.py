"""The tiny model as real vLLM serves it, through the recipe that people use."""

from __future__ import annotations

from typing import Any

from tests.vllm.conftest import MODEL

ALIAS = "tiny"
CONTEXT = 2048
SLOTS = 16
START_S = 150.0
"""On two cores that do other things too."""


def engine_section(**changes: Any) -> dict[str, Any]:
    """The settings' section `engine`."""
    usual = {"kind": "vllm", "model": str(MODEL), "alias": ALIAS, "slots": SLOTS, "context_tokens": CONTEXT}
    return usual | {"canary_every_s": 0} | changes
