"""How a model's linear layers are stored, by the `quantization_config` of its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from viiwork.errors import ModelError
from viiwork.placement.shape import Kind, Method, Quantization

BITS: dict[int, Kind] = {4: "int4", 8: "int8", 16: "none"}


def quantization_of(value: object, *, source: str) -> Quantization:
    """GPTQ, AWQ, compressed-tensors and fp8 as their tools write them; others by their bits, as far as they tell.

    Raises ModelError that names the file and the field.
    """
    if value is None:
        return Quantization()
    if not isinstance(value, dict):
        raise ModelError(f"{source}: quantization_config is no table.", hint="Fetch the model again, or name another.")
    method = str(value.get("quant_method") or "")
    if method == "compressed-tensors":
        return _compressed(value, source)
    if method == "fp8":
        return Quantization(kind="fp8", method="fp8")
    bits = _number(value, "bits", source) or _number(value, "w_bit", source)
    bits = bits or (4 if value.get("load_in_4bit") else 8 if value.get("load_in_8bit") else 0)
    group = _number(value, "group_size", source) or _number(value, "q_group_size", source)
    known: Method = "gptq" if method == "gptq" else "awq" if method == "awq" else "other"
    return Quantization(kind=BITS.get(bits, "other"), method=known, group_size=group)


def _compressed(value: Mapping[str, Any], source: str) -> Quantization:
    """The first group's weights: where layers differ, the files' size tells what all of them take."""
    groups = value.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, dict) else None
    weights = first.get("weights") if isinstance(first, dict) else None
    if not isinstance(weights, dict):
        raise ModelError(
            f"{source}: quantization_config.config_groups names no weights.",
            hint="Fetch the model again, or name another.",
        )
    if weights.get("type") == "float":
        return Quantization(kind="fp8", method="compressed-tensors")
    bits, group = _number(weights, "num_bits", source), _number(weights, "group_size", source)
    return Quantization(kind=BITS.get(bits, "other"), method="compressed-tensors", group_size=group)


def _number(value: Mapping[str, Any], key: str, source: str) -> int:
    """0 where it is not there, or says that a whole row is one group (-1, null)."""
    number = value.get(key)
    if number is None:
        return 0
    if isinstance(number, bool) or not isinstance(number, int) or not -1 <= number <= 2**20:
        raise ModelError(f"{source}: quantization_config.{key} is no number that it can be.", hint="Fetch it again.")
    return max(0, number)
