"""Whose energy it is, told as each job ends: what `energy.py` adds up, in constant time a job. Pure.

A job's commit cannot wait for the next look at a card. So a card's power holds from one look to the next, and each
moment's power belongs to the jobs in flight at that moment, by their tokens; without any it is idle. What one token in
flight has had since the beginning is one sum for all jobs: a job's energy is its tokens times what came to that sum
while it was in flight, however many others came and went meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viiwork.power.energy import LONGEST_GAP_S, Energy


@dataclass(frozen=True, slots=True)
class Flight:
    """A job in flight: its tokens, and what a token had had when it began."""

    tokens: int
    joules: float
    known_s: float
    unknown_s: float


class Tally:
    """The cards of one worker. Moments are on one clock that never goes back; one that does is taken for now."""

    def __init__(self, *, longest_gap_s: float = LONGEST_GAP_S) -> None:
        self._longest_gap_s = longest_gap_s
        self._at_s = 0.0
        self._cards = 0
        self._watts, self._measured, self._holds_until_s = 0.0, 0, 0.0
        self._tokens = 0
        self._joules = self._known_s = self._unknown_s = 0.0
        self.idle = Energy()
        """While no job was in flight."""
        self.unmeasured_s = 0.0
        """Card-seconds of which nobody told the power, with jobs in flight or without."""

    @property
    def busy(self) -> bool:
        """Whether any job is in flight."""
        return self._tokens > 0

    def look(self, watts: Sequence[float | None], at_s: float) -> None:
        """What each card draws from now on; None for one that does not tell. No card at all: as many that do not."""
        self._pass(at_s)
        told = [each for each in watts if each is not None]
        self._cards = len(watts) or self._cards
        self._watts, self._measured = sum(told), len(told)
        self._holds_until_s = self._at_s + self._longest_gap_s

    def begin(self, tokens: int, at_s: float) -> Flight:
        """A job begins; one without tokens counts as one."""
        self._pass(at_s)
        if not self._tokens:  # nobody compares with the sums any more: small ones are exact
            self._joules = self._known_s = self._unknown_s = 0.0
        flight = Flight(max(1, tokens), self._joules, self._known_s, self._unknown_s)
        self._tokens += flight.tokens
        return flight

    def end(self, flight: Flight, at_s: float) -> Energy:
        """A job ends, once only; answers what it used."""
        self._pass(at_s)
        self._tokens -= flight.tokens
        return Energy(
            (self._joules - flight.joules) * flight.tokens,
            (self._known_s - flight.known_s) * flight.tokens,
            (self._unknown_s - flight.unknown_s) * flight.tokens,
        )

    def _pass(self, at_s: float) -> None:
        """Give out the time since the last change."""
        seconds = max(0.0, at_s - self._at_s)
        held_s = min(seconds, max(0.0, self._holds_until_s - self._at_s))
        self._at_s += seconds
        joules, known_s = self._watts * held_s, self._measured * held_s
        unknown_s = self._cards * seconds - known_s
        self.unmeasured_s += unknown_s
        if self._tokens:
            self._joules += joules / self._tokens
            self._known_s += known_s / self._tokens
            self._unknown_s += unknown_s / self._tokens
        elif seconds and self._cards:
            self.idle += Energy(joules, known_s, unknown_s)
