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
    """What would make room, in words to type: `as --model llama-2-13b:int4 (1 card)`, `on 5 cards (1 more Radeon VII)`,
    `with context=1280`.
    """

    @property
    def told(self) -> str:
        """`llama-2-13b does not fit: needs 30.8 GiB, the largest group has 28.8 GiB; would fit with context=1280.`

        The reason follows, or comes before where only some of its replicas are missing.
        """
        would = f"; would fit {' / '.join(self.would_fit)}." if self.would_fit else "."
        before, after = self._said
        return " ".join(each for each in (f"{before}{would}", after) if each)

    @property
    def fault(self) -> str:
        """The same without what would make room."""
        before, after = self._said
        return " ".join(each for each in (f"{before}.", after) if each)

    @property
    def _said(self) -> tuple[str, str]:
        """Without its full stop, and what comes after."""
        said = self.why if self.why.startswith(self.model) else f"{self.model}: {self.why}"
        if not self.needs_bytes:
            return said.rstrip("."), ""
        has = f"the largest group has {self.largest_bytes / GIB:.1f} GiB"
        figures = f"needs {self.needs_bytes / GIB:.1f} GiB, {has if self.largest_bytes else 'no card is left'}"
        return (f"{said} Another {figures}", "") if self.placed else (f"{self.model} does not fit: {figures}", self.why)
