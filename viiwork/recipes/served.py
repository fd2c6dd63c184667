"""What a server that somebody else runs says of its models: asked once, with little patience."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from viiwork.errors import SettingsError
from viiwork.unreached import why_unreached

PATIENCE_S = 3.0
REFUSES = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Served:
    """One model of a server."""

    name: str
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a server said when it was asked."""

    models: tuple[Served, ...] = ()
    """None when it does not answer, or not as it should."""
    refuses_key: bool = False
    """It is there, and wants a key, or another one."""
    trouble: str = ""
    """Why nothing was learnt: `connection refused`, `status 404`; empty where something was."""


def ask_served(url: str, *, key: str = "") -> Told:
    """The models of the server at `url`."""
    import httpx  # noqa: PLC0415 - 4 MB, which a worker that starts its engine itself never needs

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:  # no proxy of the environment: the server is on this host or in this network
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
            answer = client.get(f"{url.rstrip('/')}/v1/models", headers=headers)
        if answer.status_code in REFUSES:
            return Told(refuses_key=True)
        if not answer.is_success:
            return Told(trouble=f"status {answer.status_code} from {answer.url.path}")
        return Told(tuple(Served(str(entry["id"]), _context(entry)) for entry in answer.json()["data"]))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Told(trouble=why_unreached(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Told(trouble="no list of models")


def read_key(file: Path | None) -> str:
    """The key in a file; empty without one. Raises SettingsError, which never quotes it."""
    if file is None:
        return ""
    try:
        key = file.expanduser().read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"engine.key_file: {file} cannot be read.", param="engine.key_file") from error
    if not key or not key.isprintable() or " " in key:
        raise SettingsError(f"engine.key_file: {file} does not hold a key in one line.", param="engine.key_file")
    return key


def _context(entry: dict[str, Any]) -> int | None:
    """vLLM says `max_model_len`; llama.cpp has `n_ctx` among its `meta`, a slot's share of the context."""
    meta = entry.get("meta")
    for value in (entry.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None):
        if isinstance(value, int) and value > 0:
            return value
    return None
