"""How one engine lies on its cards: tensor parallel x pipeline parallel, as it is told to a worker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from viiwork.errors import SettingsError
from viiwork.variables import WORKER_SPLIT

WRITTEN = re.compile(r"([1-9]\d{0,2})x([1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class Parallel:
    """The two together are the cards; an engine that splits by layers has them all in `pipeline`."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def cards(self) -> int:
        """How many."""
        return self.tensor * self.pipeline

    @property
    def shares(self) -> str:
        """What each card gets of the layers, in equal parts: `1,1`."""
        return ",".join(["1"] * self.cards)

    def __str__(self) -> str:
        return f"{self.tensor}x{self.pipeline}"


def told(environ: Mapping[str, str]) -> Parallel | None:
    """What the worker's environment says; None where nobody planned. Raises SettingsError."""
    written = environ.get(WORKER_SPLIT, "")
    if not written:
        return None
    found = WRITTEN.fullmatch(written)
    if found is None:
        raise SettingsError(f"variable {WORKER_SPLIT}: {written!r} is no split.", hint="Two numbers: 2x1.")
    return Parallel(int(found[1]), int(found[2]))
