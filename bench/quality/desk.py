"""What every measure has at hand: documents, the engine in question, and somebody who waits."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from bench.quality.packages import Library
from viiwork.settings import EngineSection

T = TypeVar("T")
SEED = 1
EXTRACTIVE = EngineSection()
"""The preview, as a fleet has it that nobody told otherwise."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One run's."""

    library: Library
    console: Console
    engine: EngineSection = EXTRACTIVE
    most: int | None = None
    """Questions or documents that an engine is asked in each measure; None: all."""

    @property
    def writes(self) -> bool:
        """Whether the engine is a language model, which can fill a schema."""
        return self.engine.kind != EXTRACTIVE.kind

    def some(self, things: Sequence[T]) -> list[T]:
        """`most` of them, drawn with a fixed seed, in their order."""
        if self.most is None or self.most >= len(things):
            return list(things)
        chosen = sorted(random.Random(SEED).sample(range(len(things)), self.most))
        return [things[at] for at in chosen]

    def watched(self, things: Iterable[T], told: str, *, total: int | None = None) -> Iterator[T]:
        """The things, with a bar on a terminal."""
        yield from track(
            things, told, total=total, console=self.console, transient=True, disable=not self.console.is_terminal
        )
