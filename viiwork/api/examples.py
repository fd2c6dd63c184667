"""An example of each request body, for the OpenAPI document: what a reader copies, and what a tester begins with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MODEL = "your-model"
"""Stands for a served alias."""
TURNS = [{"role": "user", "content": "What is a lease?"}]
EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "JobBody": {"messages": TURNS, "max_output_tokens": 64, "lane": "interactive"},
        "LineBody": {"messages": TURNS, "custom_id": "first"},
        "AnalysisBody": {"task": "summarize", "documents": [{"name": "letter", "text": "The lease ends in May."}]},
        "PriorityBody": {"priority": "high"},
        "HoldBody": {"owner": "bench-0001", "why": "a measurement", "for_s": 1, "at_most": {"gpu0@box": 0}},
        "LiftBody": {"owner": "bench-0001"},
        "EndpointBody": {"url": "https://receiver.example/hook", "events": ["*"]},
        "RotationBody": {"at_once": False},
        "ChatBody": {"model": MODEL, "messages": TURNS, "max_tokens": 16},
        "CompletionBody": {"model": MODEL, "prompt": "A lease is", "max_tokens": 16},
        "EmbeddingBody": {"model": MODEL, "input": ["A lease is a contract."]},
    }
)
"""By the name of the body's schema."""


def example_of(schema: Mapping[str, Any]) -> Any:
    """The example for a reference to a schema; None where there is none."""
    return EXAMPLES.get(str(schema.get("$ref", "")).rpartition("/")[2])
