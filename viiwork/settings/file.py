"""The settings file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from viiwork.errors import SettingsError
from viiwork.settings.naming import Tables, did_you_mean, meant

DEFAULT_FILE = "viiwork.toml"


def read_file(environ: Mapping[str, str], *, known: Tables) -> dict[str, Any]:
    """The settings file's tables; none when nobody named a file and the default one is missing."""
    named = environ.get("VIIWORK_CONFIG")
    path = Path(named or DEFAULT_FILE)
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        if not named:
            return {}
        raise SettingsError(f"{path}: there is no such file.", hint="Check --config or VIIWORK_CONFIG.") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "it cannot be read"
        raise SettingsError(f"{path}: {reason}.", hint="Settings are one TOML file.") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 (byte {error.start + 1}).", hint="Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}.", hint="Mend that line or remove the file.") from error
    for name in tables:
        if name not in known:
            nearest = meant(name, known)
            hint = f"Did you mean [{nearest}]? " if nearest else did_you_mean(name, known)
            raise SettingsError(
                f"{path}: there is no setting or table {name}.", hint=f"{hint}Known: {', '.join(sorted(known))}."
            )
    return tables
