"""The simulated card of a model that was planned: its size and its split by the plan's own arithmetic."""

from __future__ import annotations

from viiwork.devices.choose import SIMULATED
from viiwork.devices.simulated import simulation
from viiwork.models import find
from viiwork.placement.rank import activation_bytes
from viiwork.placement.shape import ModelShape
from viiwork.placement.vram import RADEON_VII_BYTES, fit
from viiwork.placement.wish import CONTEXT_TOKENS, shape_of
from viiwork.recipes.cards import numbers
from viiwork.recipes.parallel import Parallel
from viiwork.settings import Settings
from viiwork_workers.engines.simulated.card_model import HALVES_BANDWIDTH, WEIGHTS_BANDWIDTH, CardModel
from viiwork_workers.engines.simulated.schedule import CHUNK_TOKENS


def planned_card(settings: Settings, parallel: Parallel, *, worker: str, alias: str, slots: int) -> CardModel:
    """Of the model that the settings name. Raises UsageError where nothing is known of it.

    A group is as fast as its steps: tensor parallel shares them and pays two all-reduces a layer, the cards of a
    pipeline take turns. Of a mixture of experts each step reads all of them, as it does with many in flight.
    """
    name, context = settings.engine.model or alias, settings.engine.context_tokens or CONTEXT_TOKENS
    shape = shape_of(name, engine="vllm", locate=lambda named: find(named, settings=settings))
    tp, pp, vram_bytes = parallel.tensor, parallel.pipeline, _vram_bytes(settings.devices.spec, worker)
    found = fit(shape, vram_bytes=vram_bytes, tp=tp, pp=pp, max_model_len=context, max_num_seqs=slots)
    return CardModel(
        alias=alias,
        parameters=_active(shape),
        weights_bytes=shape.weights_bytes,
        read_bytes=shape.weights_bytes - (0 if shape.tied_embeddings else shape.embedding_bytes),
        kv_bytes_per_token=max(1, found.kv_bytes_per_token * tp * pp),
        activation_bytes=activation_bytes(shape, tp=tp, tokens=CHUNK_TOKENS, seqs=slots),
        context_tokens=context,
        cards=parallel.cards,
        tensor=tp,
        layers=shape.layers,
        bandwidth=HALVES_BANDWIDTH if shape.quantization.kind == "none" else WEIGHTS_BANDWIDTH,
        room_tokens=max(found.kv_tokens, context),
    )


def _vram_bytes(spec: str, worker: str) -> int:
    """Of the smallest of its cards."""
    kinds, _ = simulation(spec.removeprefix(SIMULATED)) if spec.startswith(SIMULATED) else ((), 1.0)
    sizes = [kinds[number].vram_bytes for number in numbers(worker) if number < len(kinds)]
    return min(sizes, default=RADEON_VII_BYTES)


def _active(shape: ModelShape) -> float:
    """Weights that a token passes."""
    expert = 3.0 * shape.layers * shape.hidden * shape.intermediate
    return shape.parameters - expert * max(0, shape.experts - shape.experts_per_token)
