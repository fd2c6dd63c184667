"""How many tokens a second each engine writes: as its worker says, else by what its beats have counted."""

from __future__ import annotations

from collections import deque

from viiwork.roster import FleetStatus, WorkerStatus

WINDOW_S = 10.0
SAME_BEAT_S = 0.2
"""Two looks that see beats so close together have seen the same one."""


class Rates:
    """Tokens a second over the last ten; moments are a monotonic clock's."""

    def __init__(self) -> None:
        self._beats: dict[str, deque[tuple[float, int]]] = {}
        self._said: dict[str, float] = {}

    def see(self, now_s: float, status: FleetStatus) -> None:
        """Take a look at the fleet in. Workers that are gone are forgotten."""
        here = {worker.card.incarnation for worker in status.workers}
        self._beats = {inc: beats for inc, beats in self._beats.items() if inc in here}
        told = ((worker.card.incarnation, worker.card.tokens_per_s) for worker in status.workers)
        self._said = {inc: rate for inc, rate in told if rate is not None}
        for worker in status.workers:
            self._note(worker, beat_s=now_s - worker.beat_age_ms / 1000)

    def of(self, incarnation: str) -> float | None:
        """Tokens a second; None for an engine that does not say, or of an earlier worker that was seen once only."""
        if (said := self._said.get(incarnation)) is not None:
            return said
        beats = self._beats.get(incarnation)
        if beats is None or len(beats) < 2 or not beats[-1][1]:
            return None
        (start_s, before), (end_s, after) = beats[0], beats[-1]
        return (after - before) / (end_s - start_s)

    def by_worker(self, status: FleetStatus) -> dict[str, float]:
        """Tokens a second by the names of the workers that say so."""
        rates = {worker.card.name: self.of(worker.card.incarnation) for worker in status.workers}
        return {name: round(rate, 1) for name, rate in rates.items() if rate is not None}

    def _note(self, worker: WorkerStatus, *, beat_s: float) -> None:
        beats, tokens = self._beats.setdefault(worker.card.incarnation, deque()), worker.card.output_tokens
        if beats and tokens < beats[-1][1]:  # its engine was started again, and counts anew
            beats.clear()
        if not beats or beat_s >= beats[-1][0] + SAME_BEAT_S:
            beats.append((beat_s, tokens))
        while len(beats) > 2 and beat_s - beats[1][0] > WINDOW_S:
            beats.popleft()
