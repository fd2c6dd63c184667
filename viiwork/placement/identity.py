"""Which model exactly a directory or a GGUF file holds: its revision, and how its weights are stored.

Whoever answers tells both, so that a row can be repeated. Nothing here is worth a model's not being served: what cannot
be read is left empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from viiwork.errors import ViiworkError
from viiwork.models.record import read_record
from viiwork.placement.gguf import read_header
from viiwork.placement.quantized import quantization_of
from viiwork.recipes.modelfacts import CONFIG, GGUF, files_of

SNAPSHOT = re.compile(r"/snapshots/([0-9a-f]{40})(?:/|$)")
"""How a hub's own cache keeps a commit."""
TOLD = ("*.json", "*.jinja", "*.model")
"""What says how a model is to be used: configuration, tokenizer, chat template; read whole."""
LARGEST_TOLD_BYTES = 64 * 1024**2
SAMPLE_BYTES = 64 * 1024
"""Of each file of weights, at its beginning, middle and end: all of 40 GB took minutes."""
MARK = "files-"
"""What a revision begins with that is a digest of the files, where no hub gave one."""
FILE_TYPES = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"},
    **{12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K"},
    **{19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL"},
    **{26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 38: "MXFP4"},
}
"""`general.file_type` by llama.cpp's `llama_ftype`."""
ASKED = ("--quantization", "--quantize")
"""How engines are told to quantize what they load (vLLM, TGI)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What of a model an answer depends on; empty where it is not known."""

    revision: str = ""
    quantization: str = ""


def identify(path: Path, command: Sequence[str] = ()) -> Identity:
    """Of the model at `path`; `command` starts its engine, and may ask for another quantization."""
    return Identity(revision=_revision(path), quantization=_quantization(path) or _asked(command))


def _revision(path: Path) -> str:
    """The commit that was pulled, else a digest of the files."""
    for folder in (path, *path.parents[:2]):
        if (record := read_record(folder)) is not None:
            return record.commit
    if found := SNAPSHOT.search(str(path)):
        return found[1]
    try:
        return MARK + _digest(path)
    except OSError:
        return ""


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    told = [file for mark in TOLD for file in path.glob(mark)] if path.is_dir() else []
    for file in sorted(told):
        if file.stat().st_size <= LARGEST_TOLD_BYTES:
            digest.update(
                f"{file.name}\n".encode(errors="surrogateescape") + hashlib.sha256(file.read_bytes()).digest()
            )
    for file in files_of(path):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode(errors="surrogateescape"))
        with file.open("rb") as weights:
            for start in (0, size // 2, max(0, size - SAMPLE_BYTES)):
                weights.seek(start)
                digest.update(weights.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _quantization(path: Path) -> str:
    try:
        return _of_gguf(path) if path.suffix == GGUF else _of_config(path)
    except (OSError, ValueError, ViiworkError):
        return ""


def _of_gguf(path: Path) -> str:
    with path.open("rb") as file:
        header = read_header(file, source=path.name, size_bytes=os.fstat(file.fileno()).st_size)
    kind = header.values.get("general.file_type")
    return FILE_TYPES.get(kind, f"GGUF file type {kind}") if isinstance(kind, int) else ""


def _of_config(path: Path) -> str:
    """`awq int4, groups of 128`; of a model that is not quantized what its numbers are: `bfloat16`."""
    config: dict[str, Any] = json.loads((path / CONFIG).read_bytes())
    stored = quantization_of(config.get("quantization_config"), source=CONFIG)
    if stored.method:
        kind = "" if stored.kind in ("none", "other", stored.method) else f" {stored.kind}"
        groups = f", groups of {stored.group_size}" if stored.group_size else ""
        return f"{stored.method}{kind}{groups}"
    said = config.get("dtype") or config.get("torch_dtype")
    return said if isinstance(said, str) and said.isidentifier() else ""


def _asked(command: Sequence[str]) -> str:
    return next((f"{value}, by the engine" for word, value in pairwise(command) if word in ASKED), "")
