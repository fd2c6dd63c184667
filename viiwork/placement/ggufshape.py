"""A shape from the headers of a GGUF file, or of all parts of a split one: pure, the headers come in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viiwork.errors import ModelError
from viiwork.placement.attention import WINDOW_PATTERNS, Layers
from viiwork.placement.gguf import Header, Tensor
from viiwork.placement.shape import Kind, ModelShape, Quantization

FILE_KINDS: dict[int, Kind] = {
    **dict.fromkeys((0, 1, 32), "none"),
    7: "int8",
    **dict.fromkeys((2, 3, 14, 15, 25, 30, 38), "int4"),
}
"""`general.file_type` by llama.cpp's `llama_ftype`: F32, F16, BF16; Q8_0; Q4_0, Q4_1, Q4_K, IQ4, MXFP4; others are
`other`."""
EMBEDDINGS, HEAD = "token_embd.weight", "output.weight"
MOST = 2**31


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one architecture: `llama.block_count` is `block_count`."""

    header: Header
    architecture: str

    def number(self, field: str, default: int | None = None) -> int:
        """A count; of a list with one a layer the largest. Raises ModelError that names the field."""
        key = f"{self.architecture}.{field}"
        value = self.header.values.get(key, default)
        if isinstance(value, tuple):
            value = max((each for each in value if _is_count(each)), default=default)
        if value is None:
            raise ModelError(f"{self.header.source}: {key} is missing.", hint="Fetch the file again.")
        if not _is_count(value):
            raise ModelError(f"{self.header.source}: {key} is no count.", hint="Fetch the file again.")
        return int(value)

    def at_least_one(self, field: str, default: int | None = None) -> int:
        """A count that cannot be 0. Raises ModelError that names the field."""
        found = self.number(field, default)
        if found < 1:
            key = f"{self.architecture}.{field}"
            raise ModelError(f"{self.header.source}: {key} is 0.", hint="Fetch the file again.")
        return found

    def each(self, field: str) -> tuple[int, ...]:
        """A list with one number a layer; empty where there is none."""
        value = self.header.values.get(f"{self.architecture}.{field}")
        return tuple(int(one) for one in value if _is_count(one)) if isinstance(value, tuple) else ()


def shape_of_gguf(headers: Sequence[Header], *, name: str, file_bytes: int) -> ModelShape:
    """The shape of the model whose parts have these headers, the first part's before. Raises ModelError."""
    first = headers[0]
    tensors = [tensor for header in headers for tensor in header.tensors]
    fields = Fields(first, _architecture(first))
    layers = _layers(fields)
    heads, hidden = fields.at_least_one("attention.head_count"), fields.at_least_one("embedding_length")
    experts, rank = fields.number("expert_count", 0), fields.number("attention.kv_lora_rank", 0)
    inner = [each for each in tensors if each.name not in (EMBEDDINGS, HEAD)]
    return ModelShape(
        name=name,
        architecture=fields.architecture,
        layers=fields.at_least_one("block_count"),
        full_attention_layers=layers.full,
        window_layers=layers.window,
        sliding_window=fields.number("attention.sliding_window", 0) if layers.window else 0,
        linear_layers=layers.linear,
        linear_heads=fields.number("ssm.group_count", 0) if layers.linear else 0,
        state_bytes=layers.linear * _state_bytes(fields),
        hidden=hidden,
        heads=heads,
        kv_heads=fields.at_least_one("attention.head_count_kv", heads),
        head_dim=fields.at_least_one("attention.key_length", max(1, hidden // heads)),
        intermediate=_width(fields, experts),
        experts=experts,
        experts_per_token=fields.number("expert_used_count", 0) if experts else 0,
        vocabulary=_vocabulary(fields, tensors),
        tied_embeddings=bool(tensors) and not any(each.name == HEAD for each in tensors),
        kv_lora_rank=rank,
        rope_dim=fields.number("rope.dimension_count", 0) if rank else 0,
        linear_parameters=sum(each.elements for each in inner if len(each.extents) > 1),
        plain_parameters=sum(each.elements for each in inner if len(each.extents) <= 1),
        quantization=_quantization(first),
        max_position_embeddings=fields.number("context_length", 0),
        dtype="float16",
        file_bytes=file_bytes,
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST


def _architecture(header: Header) -> str:
    name = header.values.get("general.architecture")
    if not isinstance(name, str) or not name:
        raise ModelError(f"{header.source}: general.architecture is missing.", hint="Fetch the file again.")
    return name


def _layers(fields: Fields) -> Layers:
    """As llama.cpp reads it: KV heads of 0 or an interval for linear layers; a window by its list, or its family."""
    layers = fields.at_least_one("block_count")
    kept = fields.each("attention.head_count_kv")
    if (interval := fields.number("full_attention_interval", 0)) > 1:
        return Layers(full=layers // interval, linear=layers - layers // interval)
    if linear := sum(1 for heads in kept[:layers] if heads == 0):
        return Layers(full=layers - linear, linear=linear)
    if not fields.number("attention.sliding_window", 0):
        return Layers(full=layers)
    marks = fields.each("attention.sliding_window_pattern")[:layers]
    pattern = WINDOW_PATTERNS.get(fields.architecture, 0)
    window = sum(1 for mark in marks if mark) if marks else layers - layers // pattern if pattern else 0
    return Layers(full=layers - window, window=window)


def _state_bytes(fields: Fields) -> int:
    """Of one linear layer and sequence, in 32 bits. Source: llama.cpp's `n_embd_r` and `n_embd_s`."""
    inner, state = fields.number("ssm.inner_size", 0), fields.number("ssm.state_size", 0)
    channels = inner + 2 * fields.number("ssm.group_count", 0) * state
    return 4 * (max(0, fields.number("ssm.conv_kernel", 0) - 1) * channels + inner * state)


def _width(fields: Fields, experts: int) -> int:
    dense = fields.number("feed_forward_length", 0)
    width = fields.number("expert_feed_forward_length", dense) if experts else dense
    return width or fields.at_least_one("feed_forward_length")


def _vocabulary(fields: Fields, tensors: Sequence[Tensor]) -> int:
    embeddings = next((each for each in tensors if each.name == EMBEDDINGS), None)
    rows = embeddings.extents[-1] if embeddings and embeddings.extents else 0
    return rows or fields.at_least_one("vocab_size", fields.header.lengths.get("tokenizer.ggml.tokens"))


def _quantization(header: Header) -> Quantization:
    found = header.values.get("general.file_type")
    kind = FILE_KINDS.get(found, "other") if isinstance(found, int) else "other"
    return Quantization(kind=kind, method="gguf")
