"""Whether somebody wants what takes hours: asked on a terminal, refused elsewhere, before a document is sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from viiwork.bigrun.estimate import Estimate
from viiwork.cli.estimate import Reckoner, print_estimate
from viiwork.cli.estimateview import hours_words
from viiwork.cli.screen import err, say
from viiwork.cli.watch import DETACHED
from viiwork.errors import UsageError
from viiwork.multipart import FileDocument

HOUR_S = 3600.0
Asks = Callable[[str], bool]
"""Puts a question to a person; false for a no."""


def check_wanted(reckoner: Reckoner, files: Sequence[FileDocument], *, above_hours: float, asks: Asks | None) -> None:
    """Go on only where it does not take long, or is wanted all the same. Does nothing where nobody knows how long.

    The files are read only where their sizes do not say already that it is soon done. Raises UsageError where it takes
    long and there is nobody to ask, and Exit where somebody says no.
    """
    if not reckoner.runs or not is_long(reckoner.bound(files), above_hours):
        return
    say("Reading the files to say how long this takes; --yes goes on without.")
    found = reckoner.estimate(files)
    if not is_long(found, above_hours) or found.by is None:
        return
    takes = hours_words(found.by.seconds)
    if asks is None:
        hint = "Add --yes, or see the whole estimate with --estimate."
        raise UsageError(f"This takes {takes}, and nobody can be asked whether that is wanted. {hint}", param="yes")
    print_estimate(found, err())
    if not asks(f"This takes {takes}. Go on?"):
        say("Nothing was sent.")
        raise typer.Exit(DETACHED)


def is_long(found: Estimate, above_hours: float) -> bool:
    """Whether it may take longer than that."""
    return found.by is not None and found.by.seconds.high > above_hours * HOUR_S


def agreed(question: str) -> bool:
    """Asked on standard error, so that what is piped on stays clean; Ctrl-C is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        say("")
        return False


def whom_to_ask() -> Asks | None:
    """Whoever sees the question and can answer it; None where that is nobody."""
    return agreed if sys.stdin.isatty() and sys.stderr.isatty() else None
