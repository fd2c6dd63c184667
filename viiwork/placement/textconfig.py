"""The fields of a config.json that decide about memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from viiwork.errors import ModelError

Count = Annotated[int, Field(ge=1, le=2**31)]
Few = Annotated[int, Field(ge=0, le=2**31)]


class TextConfig(BaseModel):
    """Of the language model, under the names that transformers gives them; what it does not know is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_type: str = ""
    num_hidden_layers: Annotated[int, Field(ge=1, le=10_000)]
    hidden_size: Count
    num_attention_heads: Count
    num_key_value_heads: Count | None = None
    head_dim: Count | None = None
    intermediate_size: Count | None = None
    vocab_size: Count
    max_position_embeddings: Few = 0
    tie_word_embeddings: bool | None = None
    attention_bias: bool = False
    dtype: str | None = Field(default=None, validation_alias=AliasChoices("dtype", "torch_dtype"))

    num_experts: Few | None = Field(
        default=None, validation_alias=AliasChoices("num_experts", "num_local_experts", "n_routed_experts")
    )
    num_experts_per_tok: Few | None = None
    moe_intermediate_size: Count | None = None
    shared_expert_intermediate_size: Few | None = None
    n_shared_experts: Few | None = None
    first_k_dense_replace: Few = 0
    decoder_sparse_step: Count = 1
    mlp_only_layers: tuple[int, ...] | None = None

    sliding_window: Few | None = None
    use_sliding_window: bool | None = None
    max_window_layers: Few | None = None
    sliding_window_pattern: Few | None = None
    layer_types: tuple[str, ...] | None = None
    full_attention_interval: Few | None = None

    linear_num_key_heads: Few = 0
    linear_num_value_heads: Few = 0
    linear_key_head_dim: Few = 0
    linear_value_head_dim: Few = 0
    linear_conv_kernel_dim: Few = 0
    attn_output_gate: bool = False

    kv_lora_rank: Few | None = None
    q_lora_rank: Few | None = None
    qk_rope_head_dim: Few | None = None
    qk_nope_head_dim: Few | None = None
    v_head_dim: Few | None = None

    @property
    def width(self) -> int:
        """Of one head."""
        return self.head_dim or max(1, self.hidden_size // self.num_attention_heads)

    @property
    def kv_heads(self) -> int:
        """As many as heads where it does not tell."""
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def linear_key_width(self) -> int:
        """Of all key heads of a linear-attention layer."""
        return self.linear_num_key_heads * self.linear_key_head_dim

    @property
    def linear_value_width(self) -> int:
        """Of all value heads of a linear-attention layer."""
        return self.linear_num_value_heads * self.linear_value_head_dim


def wrong(source: str, field: str, reason: str) -> ModelError:
    """What is said of a field that is not as it should be."""
    return ModelError(f"{source}: {field} {reason}.", hint="Fetch the model again, or name another.")
