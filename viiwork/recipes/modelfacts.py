"""What a model's own files say of it: its context, its tokenizer, a name to serve it under."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from viiwork.errors import SettingsError
from viiwork.jobs import MODEL_PATTERN, READER_MODEL

CONFIG = "config.json"
MLC_CONFIG = "mlc-chat-config.json"
TOKENIZER = "tokenizer.json"
GGUF = ".gguf"
WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
SHARD = re.compile(r"-\d{5}-of-\d{5}$")
COMMIT_FOLDER = re.compile(r"([^/]+)/(?:snapshots/[^/]+|[0-9a-f]{40})$")
"""How pulled models lie: `org--name/<commit>`, in a hub's own cache `models--org--name/snapshots/<commit>`."""
USUAL_KV_BYTES = 128 * 1024
"""Keys and values of one token where the model does not tell: those of Mistral-7B in 16 bits."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model before it is loaded."""

    path: str = ""
    """Its directory or file; empty where only a server knows it."""
    context_tokens: int | None = None
    tokenizer: str = ""
    """The directory that holds a `tokenizer.json`; empty when there is none."""
    chat_template: bool = False
    kv_bytes: int = USUAL_KV_BYTES
    """Of one token, keys and values of all layers in 16 bits."""
    weights_bytes: int = 0


def look_at(path: Path) -> ModelFacts:
    """The facts of a directory or of a GGUF file. Raises SettingsError when its config.json cannot be read."""
    weights_bytes = sum(file.stat().st_size for file in files_of(path))
    if path.is_file():
        return ModelFacts(path=str(path.absolute()), weights_bytes=weights_bytes)
    config = _config(path)
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    return ModelFacts(
        path=str(path.absolute()),
        context_tokens=_number(text, "max_position_embeddings") or _number(config, "context_window_size") or None,
        tokenizer=str(path.absolute()) if (path / TOKENIZER).is_file() else "",
        chat_template=_has_chat_template(path),
        kv_bytes=kv_bytes(text),
        weights_bytes=weights_bytes,
    )


def kv_bytes(config: Mapping[str, Any]) -> int:
    """Keys and values of one token in bytes: 2 x layers x heads that keep them x their width x 2."""
    layers, heads = _number(config, "num_hidden_layers"), _number(config, "num_attention_heads")
    hidden = _number(config, "hidden_size")
    if not (layers and heads and hidden):
        return USUAL_KV_BYTES
    width = _number(config, "head_dim") or hidden // heads
    return 2 * layers * (_number(config, "num_key_value_heads") or heads) * width * 2


def alias_of(name: str) -> str:
    """The name under which a model is served: `Qwen/Qwen3-8B-AWQ@main` becomes `qwen3-8b-awq`.

    Raises SettingsError when nothing of the name can stand in one.
    """
    pulled = COMMIT_FOLDER.search(name.rstrip("/"))
    last = pulled[1].split("--")[-1] if pulled else name.rstrip("/").rsplit("/", 1)[-1].partition("@")[0]
    stem = SHARD.sub("", last.removesuffix(GGUF)).lower()
    return checked_alias(re.sub(r"[^a-z0-9._-]+", "-", stem).lstrip("._-")[:64].rstrip("._-"), given=name)


def checked_alias(alias: str, *, given: str, setting: str = "engine.alias") -> str:
    """The alias, if it can be one. Raises SettingsError."""
    if not re.match(MODEL_PATTERN, alias):
        reason = f"'{given}' makes no name to serve a model under"
        hint = "Give one with --alias: small letters, digits, dot, dash and underscore, 64 at most."
        raise SettingsError(f"{reason}.", hint=hint, param=setting)
    if alias == READER_MODEL:
        raise SettingsError(f"'{alias}' is the queue of the readers.", hint="Give another --alias.", param=setting)
    return alias


def files_of(path: Path) -> list[Path]:
    """Those that hold its weights: of a directory, or all parts of the GGUF file that is their first."""
    if path.is_file():
        first = SHARD.search(path.stem)
        return sorted(path.parent.glob(f"{path.stem[: first.start()]}-*{GGUF}")) if first else [path]
    found = [sorted(path.glob(pattern)) for pattern in WEIGHTS]
    return next((files for files in found if files), [])


def _config(folder: Path) -> dict[str, Any]:
    for name in (CONFIG, MLC_CONFIG):
        file = folder / name
        if not file.is_file():
            continue
        try:
            config = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"{file} cannot be read as JSON.", hint="Fetch the model again.") from error
        return config if isinstance(config, dict) else {}
    return {}


def _number(config: Mapping[str, Any], key: str) -> int:
    """A count of the configuration; 0 where it has none, or something else under that name."""
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else 0


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    try:
        return "chat_template" in json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError, TypeError):
        return False
