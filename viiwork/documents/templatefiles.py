"""Where a model's files have its chat template."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from viiwork.documents.scribe import Scribe
from viiwork.documents.template import DEFAULT

log = logging.getLogger("viiwork.documents")

CONFIG, TEMPLATE, SPECIALS = "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"
FILES = (CONFIG, TEMPLATE, SPECIALS)
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
MAX_CONFIG_BYTES = 64 * 1024 * 1024
MAX_TEMPLATE_CHARACTERS = 1024 * 1024
"""Of all templates of a model. The longest that is known has 30,000."""


def find_template(folder: Path) -> Scribe | None:
    """What writes prompts as the model in this directory has them; None where it has no template that can be used."""
    config = _json(folder / SPECIALS) | _json(folder / CONFIG)
    sources = _sources(config.get("chat_template"))
    if (folder / TEMPLATE).is_file():
        with (folder / TEMPLATE).open(encoding="utf-8", errors="replace") as file:
            sources[DEFAULT] = file.read(MAX_TEMPLATE_CHARACTERS + 1)
    if DEFAULT not in sources:
        return None
    specials = {name: _token(config[name]) for name in SPECIAL if config.get(name)}
    if sum(map(len, sources.values())) > MAX_TEMPLATE_CHARACTERS:
        log.warning(
            "the chat template of %s is over %d characters: prompts go to it uncounted",
            _name(folder),
            MAX_TEMPLATE_CHARACTERS,
        )
        return None  # texts can still be counted
    return Scribe(sources, specials, model=_name(folder))


def _name(folder: Path) -> str:
    """For people: a model that was fetched lies in `org--name/commit`."""
    return "/".join(folder.parts[-2:])


def _sources(said: object) -> dict[str, str]:
    """Templates by name: one alone is a string, several are a list of `{"name", "template"}`."""
    if isinstance(said, str):
        return {DEFAULT: said}
    named = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return {str(one.get("name")): one["template"] for one in named if isinstance(one.get("template"), str)}


def _token(said: object) -> str:
    return str(said.get("content", "")) if isinstance(said, dict) else str(said)


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes()) if path.stat().st_size <= MAX_CONFIG_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
