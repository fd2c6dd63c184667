"""Which layers of a model keep every token, a window of them, or a state alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

WINDOW_PATTERNS = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2, "gpt-oss": 2}
"""Every n-th layer keeps all tokens and the others a window: families whose files need not say so."""
WINDOWED = ("sliding_attention", "chunked_attention")
LINEAR = "linear_attention"


@dataclass(frozen=True, slots=True)
class Layers:
    """How many layers keep every token, the last ones alone, or a state."""

    full: int
    window: int = 0
    linear: int = 0


class Described(Protocol):
    """What a config.json says of its layers; the names are those of transformers."""

    @property
    def model_type(self) -> str: ...
    @property
    def num_hidden_layers(self) -> int: ...
    @property
    def sliding_window(self) -> int | None: ...
    @property
    def use_sliding_window(self) -> bool | None: ...
    @property
    def max_window_layers(self) -> int | None: ...
    @property
    def sliding_window_pattern(self) -> int | None: ...
    @property
    def layer_types(self) -> tuple[str, ...] | None: ...
    @property
    def full_attention_interval(self) -> int | None: ...


def count_layers(text: Described) -> Layers:
    """By `layer_types` where it is given, else by what each family takes for granted.

    A kind of layer that is not known counts as one that keeps everything, for then too much memory is set aside and
    not too little. Source: the configuration classes of transformers (Mistral, Qwen2, Gemma2, Gemma3, Qwen3-Next).
    """
    layers = text.num_hidden_layers
    if text.layer_types:
        kinds = text.layer_types[:layers]
        window = sum(kind in WINDOWED for kind in kinds) if text.sliding_window else 0
        linear = sum(kind == LINEAR for kind in kinds)
        return Layers(full=layers - window - linear, window=window, linear=linear)
    if text.full_attention_interval and text.full_attention_interval > 1:
        full = layers // text.full_attention_interval
        return Layers(full=full, linear=layers - full)
    window = _windowed(text) if text.sliding_window else 0
    return Layers(full=layers - window, window=window)


def _windowed(text: Described) -> int:
    """Qwen keeps its window switched off unless told, and then has it from `max_window_layers` on."""
    layers, family = text.num_hidden_layers, text.model_type
    if text.use_sliding_window is False or (family.startswith("qwen") and not text.use_sliding_window):
        return 0
    if family.startswith("qwen"):
        return layers - min(layers, text.max_window_layers or 0)
    pattern = text.sliding_window_pattern or WINDOW_PATTERNS.get(family, 0)
    return layers - layers // pattern if pattern else layers
