"""The settings of a command, with the flags that it was given on top."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from viiwork.cli.screen import say
from viiwork.settings import Settings, load_settings
from viiwork.variables import passed_over


def settings_from(config: Path | None, **sections: dict[str, Any]) -> Settings:
    """Flags that are None were not given. Raises SettingsError."""
    say_passed_over()
    if config is not None:
        os.environ["VIIWORK_CONFIG"] = str(config)
    given = {
        name: {key: value for key, value in fields.items() if value is not None} for name, fields in sections.items()
    }
    return load_settings({name: fields for name, fields in given.items() if fields})


def say_passed_over() -> None:
    """A remark on each variable that looks like a setting and is none: it stops nothing."""
    for line in passed_over(os.environ):
        say(line)
