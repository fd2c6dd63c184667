"""What is read from the disk: directories of a model, GGUF headers, and files that are hostile or cut off."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.errors import ModelError
from viiwork.placement.gguf import read_header
from viiwork.placement.ggufshape import shape_of_gguf
from viiwork.placement.reading import read_shape
from viiwork.placement.shape import ModelShape, Quantization
from viiwork.placement.vram import fit

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
}
U32, STRING, ARRAY, BOOL, I32 = 4, 8, 9, 7, 5


def text(value: str) -> bytes:
    """A string as GGUF writes it."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    """A key, its type and its value."""
    return text(key) + struct.pack("<I", kind) + value


def number(key: str, value: int) -> bytes:
    """A key with a count."""
    return pair(key, U32, struct.pack("<I", value))


def array(key: str, kind: int, values: list[bytes]) -> bytes:
    """A key with a list."""
    return pair(key, ARRAY, struct.pack("<IQ", kind, len(values)) + b"".join(values))


def tensor(name: str, *extents: int) -> bytes:
    """What the header says of a tensor."""
    return text(name) + struct.pack("<I", len(extents)) + struct.pack(f"<{len(extents)}Q", *extents) + bytes(12)


def gguf(pairs: list[bytes], tensors: list[bytes] | None = None, *, version: int = 3, weights: int = 1000) -> bytes:
    """A whole file with so many bytes of weights."""
    tensors = tensors or []
    counts = struct.pack("<IQQ", version, len(tensors), len(pairs))
    return b"GGUF" + counts + b"".join(pairs) + b"".join(tensors) + bytes(weights)


def header(family: str) -> list[bytes]:
    """The metadata of a small model of this family."""
    return [
        pair("general.architecture", STRING, text(family)),
        number("general.file_type", 15),
        number(f"{family}.block_count", 4),
        number(f"{family}.context_length", 8192),
        number(f"{family}.embedding_length", 64),
        number(f"{family}.feed_forward_length", 128),
        number(f"{family}.attention.head_count", 4),
        number(f"{family}.attention.head_count_kv", 2),
    ]


LLAMA = header("llama")
TENSORS = [
    tensor("token_embd.weight", 64, 1000),
    tensor("output.weight", 64, 1000),
    tensor("output_norm.weight", 64),
    tensor("blk.0.ffn_up.weight", 64, 128),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's directory with its config.json."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return tmp_path


def safetensors(path: Path, *, weights: int) -> None:
    """A file with a header and so many bytes of weights."""
    header = b'{"__metadata__":{}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(weights))


def test_the_index_tells_how_large_all_weights_are(folder: Path) -> None:
    """Nothing of them is read; they need not even be there."""
    index = {"metadata": {"total_size": 123456}, "weight_map": {}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    found = read_shape(folder)
    assert found.file_bytes == found.weights_bytes == 123456
    assert found.name == folder.name


def test_a_single_file_is_counted_without_its_header(folder: Path) -> None:
    """Its size less 8 bytes and the JSON."""
    safetensors(folder / "model.safetensors", weights=5000)
    assert read_shape(folder, name="mine").file_bytes == 5000
    assert read_shape(folder, name="mine").name == "mine"


def test_several_files_without_an_index_are_added(folder: Path) -> None:
    """Or, where there are none of these, `.bin` files."""
    (folder / "pytorch_model.bin").write_bytes(bytes(77))
    assert read_shape(folder).file_bytes == 77
    safetensors(folder / "a.safetensors", weights=10)
    safetensors(folder / "b.safetensors", weights=20)
    assert read_shape(folder).file_bytes == 30


def test_without_weights_they_are_counted(folder: Path) -> None:
    """A config.json alone is enough for a plan."""
    found = read_shape(folder)
    assert found.file_bytes == 0
    assert found.weights_bytes == found.parameters * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it cannot be read as JSON"),
        (b"\xff\xfe\x00", "it cannot be read as JSON"),
        (b"[" * 100_000, "it cannot be read as JSON"),
        (b"[1, 2]", "it is no JSON object"),
        (b" " * (8 * 1024**2 + 1), "it is too large"),
    ],
)
def test_a_config_that_is_none_is_named(folder: Path, content: bytes, said: str) -> None:
    """Cut, binary, deeply nested, of another form, endless."""
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_shape(folder)
    assert caught.value.message == f"{folder / 'config.json'}: {said}."


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    """The file that is missed, not a stack trace."""
    with pytest.raises(ModelError, match="there is no such file"):
        read_shape(tmp_path)


@pytest.mark.parametrize("metadata", [None, {}, {"total_size": -1}, {"total_size": "12"}, {"total_size": True}])
def test_an_index_without_a_size_is_named(folder: Path, metadata: Any) -> None:
    """With the field that is wrong."""
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": metadata}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"index\.json: metadata\.total_size is"):
        read_shape(folder)


@pytest.mark.parametrize("content", [b"", b"\x01\x02", struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 10) + b"{}"])
def test_a_safetensors_file_that_is_cut_off_is_named(folder: Path, content: bytes) -> None:
    """Its header claims more than there is."""
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors: it"):
        read_shape(folder)


def test_a_gguf_file_is_read(tmp_path: Path) -> None:
    """Counts, kind, size; its vocabulary and weights by the tensors."""
    path = tmp_path / "tiny-Q4_K_M.gguf"
    path.write_bytes(gguf(LLAMA, TENSORS))
    found = read_shape(path)
    assert (found.name, found.architecture, found.dtype) == ("tiny-Q4_K_M", "llama", "float16")
    assert (found.layers, found.hidden, found.heads, found.kv_heads, found.head_dim) == (4, 64, 4, 2, 16)
    assert (found.vocabulary, found.intermediate, found.max_position_embeddings) == (1000, 128, 8192)
    assert (found.linear_parameters, found.plain_parameters, found.tied_embeddings) == (64 * 128, 64, False)
    assert found.quantization == Quantization(kind="int4", method="gguf")
    assert found.file_bytes == path.stat().st_size


def test_a_gguf_vocabulary_is_passed_over_and_counted(tmp_path: Path) -> None:
    """Without tensors the list of tokens tells; texts of any length are not kept."""
    tokens = array("tokenizer.ggml.tokens", STRING, [text("token" * 1000)] * 300)
    long = pair("tokenizer.chat_template", STRING, text("x" * 100_000))
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf([tokens, long, array("scores", I32, [bytes(4)] * 9000), *LLAMA], version=2))
    assert read_shape(path).vocabulary == 300


def test_the_parts_of_a_split_gguf_are_added(tmp_path: Path) -> None:
    """Named by any of them; one that is missing is said."""
    first, second = tmp_path / "m-00001-of-00002.gguf", tmp_path / "m-00002-of-00002.gguf"
    first.write_bytes(gguf(LLAMA, TENSORS[:1]))
    second.write_bytes(gguf([], TENSORS[1:]))
    found = read_shape(second)
    assert found.name == "m"
    assert found.file_bytes == first.stat().st_size + second.stat().st_size
    assert (found.linear_parameters, found.tied_embeddings) == (64 * 128, False)
    second.unlink()
    with pytest.raises(ModelError, match="1 of its 2 parts are there"):
        read_shape(first)


def test_gguf_windows_states_experts_and_latents_are_read(tmp_path: Path) -> None:
    """By a list, by a family's custom, by KV heads of 0, and by their own keys."""

    def read(*pairs: bytes, family: str = "llama") -> ModelShape:
        path = tmp_path / "m.gguf"
        path.write_bytes(gguf([*header(family), *pairs], TENSORS))
        return read_shape(path)

    marks = array("x.attention.sliding_window_pattern", BOOL, [b"\x01", b"\x01", b"\x01", b"\x00"])
    windowed = read(number("x.attention.sliding_window", 512), marks, family="x")
    assert (windowed.window_layers, windowed.full_attention_layers, windowed.sliding_window) == (3, 1, 512)
    custom = read(number("gemma2.attention.sliding_window", 512), family="gemma2")
    assert (custom.window_layers, custom.full_attention_layers) == (2, 2)
    unknown = read(number("llama.attention.sliding_window", 512))
    assert (unknown.window_layers, unknown.full_attention_layers, unknown.sliding_window) == (0, 4, 0)
    kept = array("h.attention.head_count_kv", I32, [struct.pack("<i", heads) for heads in (0, 0, 0, 2)])
    state = [number("h.ssm.inner_size", 64), number("h.ssm.state_size", 8), number("h.ssm.conv_kernel", 4)]
    hybrid = read(kept, *state, number("h.ssm.group_count", 2), family="h")
    assert (hybrid.linear_layers, hybrid.full_attention_layers, hybrid.kv_heads) == (3, 1, 2)
    assert hybrid.state_bytes == 3 * 4 * (3 * (64 + 2 * 2 * 8) + 64 * 8)
    sparse = read(number("llama.expert_count", 8), number("llama.expert_used_count", 2))
    assert (sparse.experts, sparse.experts_per_token) == (8, 2)
    latent = read(number("llama.attention.kv_lora_rank", 512), number("llama.rope.dimension_count", 64))
    assert (latent.kv_lora_rank, latent.rope_dim) == (512, 64)


HOSTILE = {
    "another file": (b"PK\x03\x04" + bytes(100), "it is no GGUF file"),
    "empty": (b"", "it is cut off in its header"),
    "cut in its counts": (b"GGUF\x03\x00", "it is cut off in its header"),
    "another version": (gguf(LLAMA, version=1), "GGUF version 1 is not known"),
    "cut in its keys": (gguf(LLAMA)[:100], "it is cut off in its header"),
    "countless keys": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "it claims 9223372036854775808 metadata keys"),
    "countless tensors": (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "it claims 1099511627776 tensors"),
    "a key without an end": (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62), "it is cut off"),
    "a long key": (gguf([pair("k" * 5000, U32, bytes(4))]), "a metadata key is too long"),
    "an endless list": (
        gguf([pair("list", ARRAY, struct.pack("<IQ", U32, 2**50))]),
        "it claims 1125899906842624 entries in list",
    ),
    "a list past the end": (gguf([pair("list", ARRAY, struct.pack("<IQ", U32, 10**6))]), "it is cut off"),
    "a list of lists": (gguf([pair("list", ARRAY, struct.pack("<IQ", ARRAY, 1))]), "list is a list of a type"),
    "an unknown type": (gguf([pair("odd", 99, b"")]), "odd is of a type that is not known (99)"),
    "many dimensions": (gguf(LLAMA, [text("t") + struct.pack("<I", 2**31)]), "tensor 't' has 2147483648 dimensions"),
    "no architecture": (gguf(LLAMA[1:]), "general.architecture is missing"),
    "no layers": (gguf([*LLAMA[:2], *LLAMA[3:]], TENSORS), "llama.block_count is missing"),
    "zero layers": (gguf([*LLAMA, number("llama.block_count", 0)], TENSORS), "llama.block_count is 0"),
    "words for heads": (
        gguf([*LLAMA, pair("llama.attention.head_count", STRING, text("four"))], TENSORS),
        "llama.attention.head_count is no count",
    ),
    "no vocabulary": (gguf(LLAMA), "llama.vocab_size is missing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_gguf_file_that_is_hostile_or_cut_off_is_named(tmp_path: Path, case: str) -> None:
    """Never a stack trace, never more memory than the file has bytes."""
    content, said = HOSTILE[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_shape(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert said in caught.value.message
    assert caught.value.hint


def test_every_cut_of_a_gguf_header_is_said_so(tmp_path: Path) -> None:
    """At whichever byte a download stopped."""
    whole = gguf(LLAMA, TENSORS, weights=0)
    path = tmp_path / "m.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cut off"):
            read_shape(path)


@given(st.dictionaries(st.integers(4, len(gguf(LLAMA, TENSORS, weights=0)) - 1), st.integers(0, 255), max_size=8))
def test_a_gguf_header_with_bytes_turned_gives_a_shape_or_an_error_of_ours(turned: dict[int, int]) -> None:
    """No stack trace, wherever a disk went bad."""
    content = bytearray(gguf(LLAMA, TENSORS, weights=0))
    for place, byte in turned.items():
        content[place] = byte
    try:
        header = read_header(io.BytesIO(bytes(content)), source="m.gguf", size_bytes=len(content))
        shape = shape_of_gguf([header], name="m", file_bytes=len(content))
    except ModelError as error:
        assert error.message.startswith("m.gguf: ")
    else:
        assert fit(shape, vram_bytes=2**34, pp=2, engine="llama.cpp", max_model_len=16).kv_tokens >= 0
