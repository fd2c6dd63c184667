"""Where an engine's program is: the interpreter that has its module, or its binary. Nothing is run to find out."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from viiwork.errors import StartupError
from viiwork.recipes.recipe import Recipe

PYTHON = "{python}"


def find_program(recipe: Recipe, *, python: Path | None, environ: Mapping[str, str], near: Path | None = None) -> str:
    """The interpreter if the command names one, else the command's program; empty for a server of somebody else's.

    `python` is the one that a person named, `near` the folder from which the recipe's own candidates are looked for.
    Raises StartupError with what to install.
    """
    if not recipe.command:
        return ""
    if any(PYTHON in word for word in recipe.command):
        return _interpreter(recipe, python, near or Path(sys.prefix).parent)
    name = recipe.command[0]
    if found := shutil.which(name, path=environ.get("PATH")):
        return os.path.abspath(found)  # noqa: PTH100 - resolve() would follow links
    raise StartupError(f"{recipe.title}: the program `{name}` was not found.", hint=recipe.install)


def program_in_image(recipe: Recipe) -> str:
    """The same in a container, whose image is searched by nobody: by the name that it has there."""
    return recipe.container.python if any(PYTHON in word for word in recipe.command) else recipe.command[0]


def _interpreter(recipe: Recipe, named: Path | None, near: Path) -> str:
    if named is not None:
        return _named(recipe, named.expanduser())
    own = Path(sys.executable)
    candidates = [near / entry for entry in recipe.python] + [own]
    for candidate in candidates:
        if os.access(candidate, os.X_OK) and has_module(candidate, recipe.module):
            return str(candidate.absolute())
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise StartupError(f"{recipe.title}: no Python with `{recipe.module}` in it ({looked}).", hint=recipe.install)


def _named(recipe: Recipe, python: Path) -> str:
    """The interpreter that a person named; what is installed in a strange one cannot always be seen."""
    path = python if python.is_absolute() or os.sep in str(python) else Path(shutil.which(str(python)) or python)
    if path.is_dir() or not os.access(path, os.X_OK):
        raise StartupError(f"engine.python: {python} is no program.", hint="Name an interpreter: VENV/bin/python.")
    if any(site_packages(path)) and not has_module(path, recipe.module):
        raise StartupError(f"{recipe.title}: {python} does not have `{recipe.module}` in it.", hint=recipe.install)
    return str(path.absolute())


def has_module(python: Path, module: str) -> bool:
    """Whether an interpreter has a module, by what lies in its folders: importing vLLM alone takes ten seconds."""
    patterns = (module, f"{module}.py", f"{module}-*.dist-info", f"__editable__.{module}-*", f"{module}.egg-link")
    return not module or any(any(folder.glob(name)) for folder in site_packages(python) for name in patterns)


def site_packages(python: Path) -> Iterator[Path]:
    """The folders from which an interpreter imports what was installed; of a virtual one also those below it."""
    prefix = python.absolute().parent.parent
    yield from _installed(prefix)
    facts = _facts(prefix / "pyvenv.cfg")
    if facts.get("include-system-site-packages") == "true" and facts.get("home"):
        yield from _installed(Path(facts["home"]).parent)


def _installed(prefix: Path) -> Iterator[Path]:
    for pattern in ("lib*/python3*/site-packages", "lib*/python3*/dist-packages", "local/lib/python3*/dist-packages"):
        yield from prefix.glob(pattern)


def _facts(pyvenv: Path) -> dict[str, str]:
    try:
        lines = pyvenv.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
