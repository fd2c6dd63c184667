"""The tiny model of `tests/vllm/tiny_model.py` as a GGUF file, for llama.cpp.

Run it with the Python of an environment that has gguf and numpy (`make llama-cpp` makes one):

    .venv-llama-cpp/bin/python tests/llama_cpp/tiny_gguf.py .venv-vllm-cpu/tiny-model .venv-llama-cpp/tiny.gguf
"""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

PLAIN = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
OF_A_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def tensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a safetensors file; bfloat16, which numpy does not know, as the upper half of a float."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    body = raw[8 + size :]
    for name, told in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = told["data_offsets"]
            bits = np.frombuffer(body[begin:end], dtype="<u2").astype(np.uint32) << 16
            yield name, bits.view(np.float32).reshape(told["shape"])


def paired(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rotary halves as pairs: llama.cpp turns neighbours, transformers the two halves of a head."""
    rows = weights.shape[0] // heads // 2
    return weights.reshape(heads, 2, rows, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def renamed(name: str, weights: np.ndarray, config: dict[str, Any]) -> tuple[str, np.ndarray]:
    """A tensor's name in GGUF, and the tensor as llama.cpp wants it."""
    if name in PLAIN:
        return PLAIN[name], weights
    _, _, layer, *rest = name.split(".")
    part = ".".join(rest[:-1])
    heads = {"self_attn.q_proj": "num_attention_heads", "self_attn.k_proj": "num_key_value_heads"}.get(part)
    return f"blk.{layer}.{OF_A_LAYER[part]}.weight", paired(weights, config[heads]) if heads else weights


def add_shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    """How the model is built."""
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def add_tokenizer(writer: gguf.GGUFWriter, told: dict[str, Any], config: dict[str, Any]) -> None:
    """The vocabulary and its merges, the special tokens, and how a conversation is written."""
    special = {token["id"]: token["content"] for token in told["added_tokens"]}
    named = {number: token for token, number in told["model"]["vocab"].items()} | special
    kinds = gguf.TokenType
    numbers = range(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([named.get(number, f"[unused{number}]") for number in numbers])
    writer.add_token_types(
        [kinds.CONTROL if n in special else kinds.NORMAL if n in named else kinds.UNUSED for n in numbers]
    )
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in told["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)


def main() -> int:
    """Write the file."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(target, "llama")
    add_shape(writer, config)
    add_tokenizer(writer, json.loads((source / "tokenizer.json").read_text(encoding="utf-8")), config)
    writer.add_chat_template((source / "chat_template.jinja").read_text(encoding="utf-8"))
    for name, weights in tensors(source / "model.safetensors"):
        to, shaped = renamed(name, weights, config)
        writer.add_tensor(to, shaped.astype(np.float32 if shaped.ndim == 1 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
