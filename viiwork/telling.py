"""What a listener is told of an answer while it is written. Pure: pieces as workers said them in, events out.

Pieces may come twice, overlap, or be missing, and an earlier attempt may still speak when a later one does. Whoever
takes each `Delta` and begins again at each `Restart` has the answer's text, letter for letter, in the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from viiwork.wire import Wire


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of one attempt's text, which begins at its byte `at` (of UTF-8)."""

    id: str
    """Its place among all that was said of the job."""
    attempt: int
    at: int
    text: str


class Delta(Wire):
    """More of the answer's text."""

    attempt: int
    text: str


class Restart(Wire):
    """What was told so far is void: the text begins again."""

    attempt: int


class Broken(Wire):
    """The text would have to begin again, and this listener cannot: nothing more is told."""

    attempt: int


Told = Delta | Restart | Broken


class Telling:
    """What one listener has been told. `attempt` is the one that speaks.

    `anew` is for a listener that came back and may hold text from before: it is told to begin again. One that cannot
    begin again (`can_restart=False`, such as a reader of an OpenAI stream) is told `Broken` instead, once it has text.
    """

    def __init__(self, *, anew: bool = False, can_restart: bool = True) -> None:
        self.attempt = 0
        self.broken = False
        self._can_restart = can_restart
        self._void = anew
        self._text = bytearray()

    def hear(self, pieces: Iterable[Said]) -> list[Told]:
        """What to tell, now that these were said."""
        return [told for piece in pieces for told in self._hear(piece)]

    def end(self, text: str, *, attempt: int) -> list[Told]:
        """What to tell, now that the answer is there: whatever of its text is still missing."""
        whole = text.encode("utf-8", "replace")
        if not whole.startswith(self._text):
            self._begin_again()
        self.attempt = attempt
        return self._tell(whole[len(self._text) :])

    def _hear(self, piece: Said) -> list[Told]:
        if piece.attempt < self.attempt:
            return []
        if piece.attempt > self.attempt:
            self.attempt = piece.attempt
            self._begin_again()
        known = len(self._text) - piece.at
        if known < 0:  # something before it is missing; it is said again, or comes with the answer
            return []
        return self._tell(piece.text.encode("utf-8", "replace")[known:])

    def _begin_again(self) -> None:
        self._void = self._void or bool(self._text)
        self._text.clear()

    def _tell(self, more: bytes) -> list[Told]:
        if self.broken or not (more or self._void):
            return []
        if self._void and not self._can_restart:
            self.broken = True
            return [Broken(attempt=self.attempt)]
        first: list[Told] = [Restart(attempt=self.attempt)] if self._void else []
        self._void = False
        self._text += more
        return [*first, Delta(attempt=self.attempt, text=more.decode())] if more else first
