"""The script that a recipe's command runs: an engine without it would only be started again until it is given up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from viiwork.errors import SettingsError
from viiwork.recipes.load import PLACEHOLDER
from viiwork.recipes.programs import PYTHON

WITH_A_WORD = ("-X", "-W", "--check-hash-based-pycs")
"""Options of Python that take the next word."""
NO_SCRIPT = ("-m", "-c")


def check_script(command: Sequence[str], *, file: Path, install: str = "") -> None:
    """Whether what the recipe in `file` runs is there. Raises SettingsError that names the file and the path."""
    program = _settled(next(iter(command), ""))
    for path, right, lacking in ((program, os.X_OK, "may not be run"), (script_of(command), os.R_OK, "cannot be read")):
        if path and not os.access(path, right):
            reason = lacking if os.access(path, os.F_OK) else "is not there"
            hint = install or "Put it there, or name another."
            raise SettingsError(f"{file}: command: {path} {reason}.", hint=hint, param="engine.kind")


def script_of(command: Sequence[str]) -> str:
    """The absolute path that a program is given before anything else, options of {python} apart; else empty.

    What follows an option (`--log {here}/new.log`) may be a file that the engine is to write.
    """
    program, *words = command or ("",)
    first = _after_options(words) if PYTHON in program else next(iter(words), "")
    return _settled(first)


def _settled(word: str) -> str:
    """A path that is known before the engine is started."""
    return word if Path(word).is_absolute() and not PLACEHOLDER.search(word) else ""


def _after_options(words: Sequence[str]) -> str:
    """The first word that is no option of Python; empty where it runs a module or a text."""
    rest = iter(words)
    for word in rest:
        if word.startswith(NO_SCRIPT):
            return ""
        if not word.startswith("-"):
            return word
        if word in WITH_A_WORD:
            next(rest, "")
    return ""
