"""Does a model fit on a card? Pure arithmetic: a shape and a card's memory in, bytes and tokens out.

vLLM divides a card so: what it may use, less weights, less the peak of its profile run, less what the runtime itself
holds, is for keys and values. llama.cpp holds the same four things, but takes all keys and values at its start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from viiwork.placement.rank import ACTIVATION_FLOOR_BYTES, GIB, Rank, activation_bytes, overhead_bytes, ranks
from viiwork.placement.shape import ModelShape
from viiwork.placement.split import Server, splits

RADEON_VII_BYTES = 17_163_091_968
"""What `mem_info_vram_total` of a Radeon VII reads: 16,368 MiB."""
UTILIZATION = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What one card of the group has to hold: of the stage that has most of it, where layers are split."""

    weights_bytes: int
    activation_bytes: int
    overhead_bytes: int
    kv_bytes_per_token: int
    """Of layers that keep every token; those with a window or a state are in `request_bytes` only."""
    request_bytes: int
    """Keys, values and states of one request of `max_model_len`."""
    kv_tokens: int
    """Tokens kept at once, in requests of `max_model_len`; 0 where not even the weights fit."""
    in_flight: int
    """How many documents of `max_model_len` at once: never more than `max_num_seqs`."""
    fits: bool
    reason: str
    """Why it does not fit, in a sentence; empty if it does."""

    @property
    def needed_bytes(self) -> int:
        """What a card must let an engine use for one request of `max_model_len`."""
        return self.weights_bytes + self.activation_bytes + self.overhead_bytes + self.request_bytes


def fit(
    shape: ModelShape,
    *,
    vram_bytes: int,
    tp: int = 1,
    pp: int = 1,
    engine: Server = "vllm",
    utilization: float = UTILIZATION,
    max_model_len: int = 8192,
    max_num_seqs: int = 16,
    max_num_batched_tokens: int = 2048,
    kv_element_bytes: int = 2,
    block_tokens: int = 16,
    activation_floor_bytes: int = ACTIVATION_FLOOR_BYTES,
) -> Fit:
    """Whether it fits on tp x pp cards of `vram_bytes` each: fitting means that one request of `max_model_len` does.

    kv_available = utilization x VRAM - weights - activations - overhead, of the stage that has least left. Source:
    vLLM's `Worker.determine_available_memory`. A split that is not possible never fits (`splits`).
    """
    if reason := _impossible(shape, tp=tp, pp=pp, engine=engine, max_model_len=max_model_len):
        tp, pp = max(1, tp), min(max(1, pp), shape.layers)
    held = ranks(
        shape,
        tp=tp,
        pp=pp,
        request_tokens=max(1, max_model_len),
        chunk_tokens=max_num_batched_tokens,
        kv_element_bytes=kv_element_bytes,
        block_tokens=block_tokens,
    )
    activation = activation_bytes(
        shape, tp=tp, tokens=max_num_batched_tokens, seqs=max_num_seqs, floor_bytes=activation_floor_bytes
    )
    overhead = overhead_bytes(cards=tp if engine == "llama.cpp" else tp * pp)
    budget = int(vram_bytes * utilization) - activation - overhead
    requests = min(_requests(rank, budget) for rank in held)
    found = Fit(
        weights_bytes=max(rank.weights_bytes for rank in held),
        activation_bytes=activation,
        overhead_bytes=overhead,
        kv_bytes_per_token=max(rank.kv_bytes_per_token for rank in held),
        request_bytes=max(rank.request_bytes for rank in held),
        kv_tokens=0 if reason else min(_tokens(rank, budget, max_model_len) for rank in held),
        in_flight=0 if reason else min(requests, max_num_seqs),
        fits=not reason and requests >= 1,
        reason=reason,
    )
    return found if found.fits or reason else replace(found, reason=_short(shape, found, vram_bytes, utilization))


def _impossible(shape: ModelShape, *, tp: int, pp: int, engine: Server, max_model_len: int) -> str:
    """Why no card's memory would help."""
    if max_model_len < 1:
        return "A request must be at least one token long."
    longest = shape.max_position_embeddings
    if longest and max_model_len > longest:
        return f"{shape.name} takes {longest:,} tokens at most, {max_model_len:,} are wanted."
    return splits(shape, tp=tp, pp=pp, engine=engine)


def _free(rank: Rank, budget_bytes: int) -> int:
    return max(0, budget_bytes - rank.weights_bytes)


def _requests(rank: Rank, budget_bytes: int) -> int:
    return _free(rank, budget_bytes) // rank.request_bytes


def _tokens(rank: Rank, budget_bytes: int, request_tokens: int) -> int:
    """By the bytes of a token where each costs the same, else by those of whole requests."""
    free = _free(rank, budget_bytes)
    if rank.request_bytes == rank.kv_bytes_per_token * request_tokens:
        return free // rank.kv_bytes_per_token
    return free * request_tokens // rank.request_bytes


def _short(shape: ModelShape, found: Fit, vram_bytes: int, utilization: float) -> str:
    usable, rest = vram_bytes * utilization, found.activation_bytes + found.overhead_bytes
    stored = shape.quantization.label
    label = shape.name if shape.name.endswith(f":{stored}") else f"{shape.name} ({stored})"
    if found.weights_bytes + rest > usable:
        return (
            f"{label}: weights take {found.weights_bytes / GIB:.1f} GiB a card and the engine {rest / GIB:.1f} GiB;"
            f" {usable / GIB:.1f} of {vram_bytes / GIB:.1f} GiB may be used."
        )
    return (
        f"{label}: one request of the wanted length takes {found.request_bytes / GIB:.1f} GiB a card, and"
        f" {max(0.0, usable - found.weights_bytes - rest) / GIB:.1f} GiB are left for it."
    )
