"""What was read of a file, as it is kept for the next question about the same content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from viiwork.documents.contents import Contents
from viiwork.documents.limits import Limits

PARSERS = (
    *("pypdfium2", "python-docx", "python-pptx", "openpyxl", "lxml", "selectolax", "inscriptis"),
    *("charset-normalizer", "py3langid"),
)
CONTENTS = TypeAdapter(Contents)


@lru_cache(maxsize=1)
def reader_version() -> str:
    """Another one whenever anything has changed that takes part in reading: a file of this room, or a library."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for name in PARSERS:
        digest.update(f"{name} {version(name)}\n".encode())
    return digest.hexdigest()


def key_of(digest: str, *, tenant: str, limits: Limits, inside: bool = False) -> str:
    """Under which name it is kept: never found by another tenant, nor by another reader.

    A message `inside` an archive says nothing of what is attached to it, for the archive does.
    """
    said = json.dumps([tenant, digest, asdict(limits), reader_version(), inside], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:40]


def packed(found: Contents) -> bytes:
    """As bytes."""
    return json.dumps(asdict(found), ensure_ascii=False).encode()


def unpacked(data: bytes) -> Contents | None:
    """What the bytes say; None for what nobody has written."""
    try:
        return CONTENTS.validate_json(data)
    except ValidationError:
        return None
