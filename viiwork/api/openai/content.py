"""What a turn of a chat says: text, or a list of parts, of which some may be files. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import PlainValidator

from viiwork.api.bodies import wrong

MAX_PARTS = 1024
MAX_FILES = 64
"""Of one chat: each is read before the chat is taken, and counted as nothing."""
MAX_NAME = 1024
FILE_ID = re.compile(r"^[A-Za-z0-9_-]{1,128}\Z")
DATA_URL = re.compile(r"^data:([^;,]{0,256})(?:;[^,]{0,256})?;base64,")
UNSEEN = {
    "image_url": "images are not looked at here; send their text, or the document as a part of type file",
    "input_image": "images are not looked at here; send their text, or the document as a part of type file",
    "input_audio": "nothing here listens; send what is said as text",
    "input_file": 'is of another endpoint; here it is {"type": "file", "file": {"file_id": …}}',
    "input_text": 'is of another endpoint; here it is {"type": "text", "text": …}',
}


@dataclass(frozen=True, slots=True)
class FilePart:
    """A document inside a turn: one that was uploaded before (`file_id`), or its bytes."""

    name: str
    file_id: str = ""
    data: bytes = b""


Part = str | FilePart
Content = str | tuple[Part, ...]


def parts_of(said: object) -> Content:
    """A turn's content as it was sent. Raises what `wrong` makes, naming the part."""
    if said is None:
        return ""
    if isinstance(said, str):
        return said
    if not isinstance(said, list):
        raise wrong("", 'must be a string, or a list of parts such as {"type": "text", "text": …}')
    if len(said) > MAX_PARTS:
        raise wrong("", f"must have at most {MAX_PARTS:,} parts")
    parts = tuple(_part(part, at) for at, part in enumerate(said))
    return joined(parts) if all(isinstance(part, str) for part in parts) else parts


def joined(parts: Sequence[Part]) -> str:
    """The text of parts; files must have become text by then."""
    return "\n".join(part for part in parts if isinstance(part, str))


def _part(part: object, at: int) -> Part:
    if not isinstance(part, dict) or not isinstance(kind := part.get("type"), str):
        raise wrong(str(at), "must be an object with a type")
    if kind in UNSEEN:
        raise wrong(f"{at}.type", f"{kind}: {UNSEEN[kind]}")
    if kind == "file":
        return _file(part.get("file"), at)
    if kind not in ("text", "refusal"):
        raise wrong(f"{at}.type", "must be text or file")
    text = part.get(kind)
    if not isinstance(text, str):
        raise wrong(f"{at}.{kind}", "must be a string")
    return text


def _file(file: object, at: int) -> FilePart:
    if not isinstance(file, dict):
        raise wrong(f"{at}.file", "must be an object with file_id or file_data")
    said: dict[str, Any] = {name: file.get(name) for name in ("file_id", "file_data", "filename")}
    for name, value in said.items():
        if value is not None and not isinstance(value, str):
            raise wrong(f"{at}.file.{name}", "must be a string")
    if (said["file_id"] is None) == (said["file_data"] is None):
        raise wrong(f"{at}.file", "must have file_id or file_data, and not both")
    name = (said["filename"] or "")[:MAX_NAME]
    if said["file_id"] is not None:
        if not FILE_ID.match(said["file_id"]):
            raise wrong(f"{at}.file.file_id", "is not the id of a file")
        return FilePart(name, file_id=said["file_id"])
    return FilePart(name, data=_decoded(said["file_data"], at))


def _decoded(data: str, at: int) -> bytes:
    """The bytes of a data URL, or of bare base64, as some clients send it."""
    url = DATA_URL.match(data)
    try:
        return base64.b64decode(data[url.end() :] if url else data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise wrong(f"{at}.file.file_data", "must be `data:<type>;base64,…`") from error


SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "null"},
        {
            "type": "array",
            "maxItems": MAX_PARTS,
            "items": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["text", "refusal", "file"]},
                    "text": {"type": "string"},
                    "file": {
                        "type": "object",
                        "properties": {
                            "file_id": {"type": "string"},
                            "file_data": {"type": "string", "description": "A data URL with base64."},
                            "filename": {"type": "string"},
                        },
                    },
                },
            },
        },
    ]
}


class _Shown:
    """How the content of a turn stands in the OpenAPI document."""

    def __get_pydantic_json_schema__(self, _core: object, _handler: object) -> dict[str, Any]:
        return SCHEMA


ContentBody = Annotated[Content, PlainValidator(parts_of), _Shown()]
