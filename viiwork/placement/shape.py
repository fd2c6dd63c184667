"""What of a model decides how much memory it takes: counted once from its files, the same for every engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["none", "fp8", "int8", "int4", "other"]
"""How the linear layers are stored; `other` are widths such as GGUF's 3 or 6 bits, whose size only the file tells."""
Method = Literal["", "gptq", "awq", "compressed-tensors", "gguf", "fp8", "other"]

WEIGHT_BYTES = 2
"""Of a number that is not quantized: float16, or bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a model's linear layers are stored; embeddings, the head, norms and routers stay in 16 bits."""

    kind: Kind = "none"
    method: Method = ""
    group_size: int = 0
    """Weights that share a scale and a zero point; 0 where a whole row does, or where there are none."""

    @property
    def bytes_each(self) -> float:
        """Bytes of one linear weight: fp16 2, int8 1+3/g, int4 0.5+2.5/g, of which 2/g are the scale in 16 bits and the
        rest a zero point as wide as a weight. Source: the GPTQ and AWQ layouts (`qweight`, `scales`, `qzeros`).
        """
        width = {"none": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "other": 1.0}[self.kind]
        return width + ((2 + width) / self.group_size if self.group_size and self.kind in ("int8", "int4") else 0.0)

    @property
    def label(self) -> str:
        """As people write it: `fp16`, `int4`."""
        return "fp16" if self.kind == "none" else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A model as far as memory and splitting go. Layers that keep no keys and values at all are in none of the three
    counts of attention layers but `linear_layers`; the three together are `layers`.
    """

    name: str
    architecture: str
    """As config.json has it (`LlamaForCausalLM`), or a GGUF header (`llama`)."""
    layers: int
    full_attention_layers: int
    """Layers that keep keys and values of every token."""
    window_layers: int = 0
    """Layers that keep those of the last `sliding_window` tokens alone."""
    sliding_window: int = 0
    linear_layers: int = 0
    """Layers of linear attention: a state of fixed size a sequence."""
    linear_heads: int = 0
    """Key heads of those layers: what a tensor-parallel group divides."""
    state_bytes: int = 0
    """That state of one sequence, of all such layers together."""
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Width of a dense feed-forward layer; in a mixture of experts, of one expert."""
    experts: int = 0
    experts_per_token: int = 0
    vocabulary: int
    tied_embeddings: bool = False
    """The head is the embedding matrix: it is kept once."""
    kv_lora_rank: int = 0
    """Above 0: multi-head latent attention, one compressed vector a token and layer instead of keys and values."""
    rope_dim: int = 0
    """The part of a key with its position, kept beside that vector."""
    linear_parameters: int
    """Weights of all linear layers: those that a quantization makes smaller."""
    plain_parameters: int = 0
    """What stays in 16 bits besides embeddings and head: norms, biases, routers."""
    quantization: Quantization = Quantization()
    max_position_embeddings: int = 0
    """The longest sequence that it was made for; 0 where its files do not tell."""
    dtype: str = ""
    """In which its files are, such as `bfloat16`; empty where they do not tell."""
    file_bytes: int = 0
    """All weights as they lie on the disk; 0 where they were not seen: then they are counted."""

    @property
    def embedding_bytes(self) -> int:
        """Of the embedding matrix, or of the head: in 16 bits, but in a GGUF file about as narrow as all the rest."""
        if self.quantization.method == "gguf" and self.file_bytes:
            return round(self.file_bytes / self.parameters * self.vocabulary * self.hidden)
        return self.vocabulary * self.hidden * WEIGHT_BYTES

    @property
    def weights_bytes(self) -> int:
        """All weights: by the files where they were seen, else linear x b + plain and embeddings x 2."""
        if self.file_bytes:
            return self.file_bytes
        linear = round(self.linear_parameters * self.quantization.bytes_each)
        return linear + self.plain_parameters * WEIGHT_BYTES + self.embedding_bytes * (1 if self.tied_embeddings else 2)

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        return self.linear_parameters + self.plain_parameters + embeddings

    @property
    def active_intermediate(self) -> int:
        """The width that one token passes in a feed-forward layer: that of all experts it is sent to."""
        return self.intermediate * max(1, self.experts_per_token)

    @property
    def latent(self) -> bool:
        """Whether it keeps compressed vectors (MLA)."""
        return self.kv_lora_rank > 0
