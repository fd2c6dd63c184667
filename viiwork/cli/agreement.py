"""Whether a person agrees to what nothing brings back: asked at a terminal; elsewhere `--yes` must say so."""

from __future__ import annotations

import sys

import typer

from viiwork.errors import UsageError


def check_agreed(question: str, *, yes: bool) -> None:
    """Raises UsageError where nobody can be asked, and Abort where somebody says no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to be asked.", hint="--yes goes on without asking.", param="yes")
    typer.confirm(question, abort=True, err=True)
