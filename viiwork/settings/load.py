"""Settings from all their sources, or one line that says what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError as UnreadableVariable

from viiwork.errors import SettingsError
from viiwork.settings.naming import LISTS, did_you_mean, variable_of
from viiwork.settings.settings import Settings
from viiwork.settings.settled import settled


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings from file, environment and `flags` (`{"api": {"port": 0}}`).

    Raises SettingsError in one line that names the file, variable or field and what is wrong with it.
    """
    given = flags or {}
    try:
        return settled(Settings(**given))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = [part for part in first["loc"] if isinstance(part, str)][:2]
        entries = [part + 1 for part in first["loc"][1:2] if isinstance(part, int)]
        unknown = first["type"] == "extra_forbidden"
        reason = "there is no such setting" if unknown else _lower(first["msg"])
        field = ".".join(path)
        where = _where(path, given) + "".join(f", entry {number}" for number in entries)
        as_variable = where.startswith("variable")
        hint = did_you_mean(field, Settings.tables(), as_variable=as_variable) if unknown else ""
        raise SettingsError(f"{where}: {reason}.", hint=f"{hint}See docs/settings.md.", param=field) from error
    except UnreadableVariable as error:
        # the only ones that are no plain values
        examples = '["--name", "value"], [{"when": "22:00-07:00"}], [{"model": "mistral-7b"}]'
        lists = "VIIWORK_ENGINE_ARGS, VIIWORK_CALLBACKS_ALLOW, VIIWORK_API_HOSTS, VIIWORK_SCHEDULE and VIIWORK_SERVE"
        hint = f"{lists} are JSON lists: {examples}."
        raise SettingsError(f"a VIIWORK_* variable cannot be read: {error}.", hint=hint) from error


def _where(path: list[str], flags: Mapping[str, Any]) -> str:
    """A setting by the name that it was given under: the variable if one is set and no flag overrides it."""
    section = flags.get(path[0])
    by_flag = path[-1] in section if isinstance(section, Mapping) else section is not None
    variables = {name.upper(): name for name in os.environ}
    variable = variables.get(variable_of(".".join(path)))
    if variable is None or by_flag:
        return f"setting {'.'.join(path)}"
    return f"variable {variable}, {path[-1]}" if path[0] in LISTS else f"variable {variable}"


def _lower(text: str) -> str:
    """Pydantic's message as the end of a sentence."""
    text = text.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
