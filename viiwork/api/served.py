"""Which of the models that are served an order runs on. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from viiwork.errors import ModelNotServed, Unavailable, UsageError


def choose_model(wanted: str | None, served: Sequence[str]) -> str:
    """The model that an order runs on; the only served one is the default.

    Raises ModelNotServed, UsageError when the choice is open, Unavailable when nobody serves anything yet.
    """
    if wanted and wanted not in served:
        known = f"Served here: {', '.join(served)}." if served else "No engine worker is up."
        raise ModelNotServed("model: nobody serves the model that was asked for.", hint=known, param="model")
    if wanted:
        return wanted
    if not served:
        raise Unavailable("No engine worker is up yet.", hint="Try again in a moment, or look at `viiwork status`.")
    if len(served) > 1:
        raise UsageError(f"model: say which one; served here are {', '.join(served)}.", param="model")
    return served[0]
