"""What this room reads from the disk, and nothing else of it opens a file: models' headers and our own tables."""

from __future__ import annotations

import json
import re
import struct
import tomllib
from pathlib import Path
from typing import Any

from viiwork.errors import ModelError
from viiwork.placement.config import shape_of_config
from viiwork.placement.gguf import read_header
from viiwork.placement.ggufshape import shape_of_gguf
from viiwork.placement.shape import ModelShape
from viiwork.placement.textconfig import wrong

CONFIG, INDEX, GGUF = "config.json", "model.safetensors.index.json", ".gguf"
CONFIG_BYTES, INDEX_BYTES, HEADER_BYTES = 8 * 1024**2, 128 * 1024**2, 128 * 1024**2
"""The most that is read of a config.json, an index and a safetensors header: none is near it."""
PART = re.compile(r"-\d{5}-of-(\d{5})$")
FOLDER = Path(__file__).parent


def read_shape(path: Path, *, name: str = "") -> ModelShape:
    """The shape of the model in this directory or GGUF file; weights are not read.

    Raises ModelError that names the file and, where one is wrong, the field.
    """
    if path.is_file():
        return _gguf(path, name=name or PART.sub("", path.stem))
    config = path / CONFIG
    found = _object(config, most=CONFIG_BYTES)
    return shape_of_config(found, name=name or path.name, source=str(config), file_bytes=_weights(path))


def read_table(name: str) -> dict[str, Any]:
    """One of this room's own tables."""
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


def _weights(folder: Path) -> int:
    """Bytes of all tensors: by the index, by a single file's header, else the sizes of what is there."""
    index = folder / INDEX
    if index.is_file():
        metadata = _object(index, most=INDEX_BYTES).get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        if not isinstance(total, int | float) or isinstance(total, bool) or not 0 < total < 2**60:
            raise wrong(str(index), "metadata.total_size", "is missing" if total is None else "is no size")
        return int(total)
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    return sum(_tensor_bytes(file) for file in files)


def _tensor_bytes(file: Path) -> int:
    """A file's size less its header: 8 bytes that say how long it is, and JSON."""
    try:
        size = file.stat().st_size
        if file.suffix != ".safetensors":
            return size
        with file.open("rb") as stream:
            (header,) = struct.unpack("<Q", stream.read(8))
    except (OSError, struct.error) as error:
        raise _unread(file, "it cannot be read") from error
    if header > min(HEADER_BYTES, size - 8):
        raise _unread(file, "its header is cut off")
    return size - 8 - int(header)


def _gguf(path: Path, *, name: str) -> ModelShape:
    try:
        sized = [(file, file.stat().st_size) for file in _parts(path)]
        headers = []
        for file, size in sized:
            with file.open("rb") as stream:
                headers.append(read_header(stream, source=str(file), size_bytes=size))
    except OSError as error:
        raise _unread(path, "it cannot be read") from error
    return shape_of_gguf(headers, name=name, file_bytes=sum(size for _, size in sized))


def _parts(path: Path) -> list[Path]:
    """All files of a split model, the first before. Raises ModelError where one is not there."""
    part = PART.search(path.stem)
    if not part:
        return [path]
    files = sorted(path.parent.glob(f"{path.stem[: part.start()]}-?????-of-{part[1]}{GGUF}"))
    if len(files) != int(part[1]):
        raise _unread(path, f"{len(files)} of its {int(part[1])} parts are there")
    return files


def _object(file: Path, *, most: int) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(most + 1)
        found = json.loads(content) if len(content) <= most else None
    except FileNotFoundError as error:
        raise _unread(file, "there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _unread(file, "it cannot be read as JSON") from error
    if not isinstance(found, dict):
        raise _unread(file, "it is too large" if found is None else "it is no JSON object")
    return found


def _unread(file: Path, reason: str) -> ModelError:
    return ModelError(f"{file}: {reason}.", hint="Fetch the model again, or name another.")
