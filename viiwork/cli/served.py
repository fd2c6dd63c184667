"""The models that `viiwork up --model` names, as settings."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from viiwork.errors import UsageError
from viiwork.placement.wish import Asked, asked_for
from viiwork.settings import ServeEntry, Settings


def with_models(settings: Settings, written: Sequence[str]) -> Settings:
    """One by its name alone is `engine.model`, else each is an entry of `serve`; what was set before gives way.

    Raises UsageError.
    """
    asked = [asked_for(each) for each in written]
    if not asked:
        return settings
    if len(asked) == 1 and asked[0].plain:
        return _with(settings, asked[0].name, ())
    if settings.engine.alias and len(asked) > 1:
        hint = "Give them as [[serve]] in the settings file, each with its alias."
        raise UsageError("--alias is of one model, and several are named.", hint=hint, param="alias")
    return _with(settings, None, tuple(_entry(each, settings.engine.alias) for each in asked))


def _with(settings: Settings, model: str | None, serve: tuple[ServeEntry, ...]) -> Settings:
    engine = settings.engine.model_copy(update={"model": model})
    return settings.model_copy(update={"engine": engine, "serve": serve})


def _entry(asked: Asked, alias: str | None) -> ServeEntry:
    try:
        return ServeEntry(
            model=asked.name,
            alias=alias,
            share=asked.share,
            replicas=asked.replicas,
            context_tokens=asked.context_tokens or None,
        )
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise UsageError(f"--model: {first['loc'][0]}: {reason}.", param="model") from error
