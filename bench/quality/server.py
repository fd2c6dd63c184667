"""The language model in question: a server that speaks the OpenAI HTTP API, and what it says of itself."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from viiwork.errors import Unavailable, UsageError
from viiwork.recipes.served import Served, ask_served, read_key
from viiwork.settings import EngineSection


def section(
    url: str, *, model: str | None, key_file: Path | None, context_tokens: int | None, canary: bool
) -> EngineSection:
    """The settings of an engine that is this server. Raises UsageError, and Unavailable when it does not answer."""
    engine = _checked(url, key_file=key_file, context_tokens=context_tokens, canary=canary)
    told = ask_served(engine.url or "", key=read_key(key_file))
    if told.refuses_key:
        raise UsageError("the server at --engine-url refuses the key.", hint="Name the file that holds it: --key-file.")
    if not told.models:
        raise Unavailable(
            f"{engine.url} does not answer, or not as an OpenAI-compatible server does.",
            hint="Start it first.",
        )
    chosen = _chosen(told.models, model)
    update = {"model": chosen.name, "context_tokens": context_tokens or chosen.context_tokens}
    return engine.model_copy(update=update)


def _checked(url: str, *, key_file: Path | None, context_tokens: int | None, canary: bool) -> EngineSection:
    try:
        return EngineSection(
            kind="url", url=url, key_file=key_file, context_tokens=context_tokens, canary=canary, keep_s=0
        )
    except ValidationError as error:
        wrong = " and ".join(f"--{name.replace('_', '-')}" for name in _names(error))
        raise UsageError(f"{wrong}: this cannot be.", hint="Such as http://127.0.0.1:8000/v1, 8192 tokens.") from error


def _names(error: ValidationError) -> list[str]:
    names = [str(one["loc"][0]) for one in error.errors()]
    return ["engine_url" if name == "url" else name for name in names]


def _chosen(served: tuple[Served, ...], wanted: str | None) -> Served:
    """The model by that name, or the only one."""
    if wanted:  # a server may know more names than it tells
        return next((one for one in served if one.name == wanted), Served(wanted))
    if len(served) > 1:
        raise UsageError(
            f"the server at --engine-url has {len(served)} models.",
            hint=f"Say which with --model: {', '.join(one.name for one in served[:8])}.",
        )
    return served[0]
