"""A model that does not fit, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

from viiwork.placement.rank import GIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A model that has fewer replicas than were asked for."""

    model: str
    placed: int
    """Replicas that it has; those that are missing are refused."""
    why: str
    needs_bytes: int
    """In all, of the largest group that was looked at; 0 where memory is not what is missing."""
    largest_bytes: int
    """What that group may use: of the cards that the others leave, or of all if even those do not suffice."""
    would_fit: tuple[str, ...]
    """What would make room: `as int4 (1 card)`, `on 5 cards (1 more Radeon VII)`, `with max_model_len 2,048`."""

    @property
    def told(self) -> str:
        """`llama-2-13b does not fit: needs 30.8 GiB, the largest group has 28.8 GiB; would fit as int4 (1 card)`.

        The reason follows, or comes before where only some of its replicas are missing.
        """
        said = self.why if self.why.startswith(self.model) else f"{self.model}: {self.why}"
        would = f"; would fit {' / '.join(self.would_fit)}." if self.would_fit else "."
        if not self.needs_bytes:
            return f"{said.rstrip('.')}{would}"
        has = f"the largest group has {self.largest_bytes / GIB:.1f} GiB"
        largest = has if self.largest_bytes else "no card is left"
        figures = f"needs {self.needs_bytes / GIB:.1f} GiB, {largest}"
        if self.placed:
            return f"{said} Another {figures}{would}"
        return f"{self.model} does not fit: {figures}{would} {self.why}"
