"""What a worker's cards use, by job: begun and ended with each job, fed by whoever looks at the cards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from viiwork.power.energy import Energy
from viiwork.power.tally import Flight, Tally
from viiwork.store.meters import Unclaimed
from viiwork_workers.engines.seat import Readings


class Meter:
    """Lives on the engine's loop. Without cards, or before the first look at them, what jobs use is not known."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tally = Tally()
        self._lost = Energy()
        self._simulated = False
        self.unclaimed = Unclaimed()
        """What no job is charged with, as of the last look; may be read from any thread."""

    @property
    def busy(self) -> bool:
        """Whether any job is in flight."""
        return self._tally.busy

    def look(self, readings: Readings, at_s: float) -> None:
        """How each card is since `at_s`."""
        self._simulated = self._simulated or any(card.vendor == "simulated" for card, _ in readings)
        self._tally.look([reading.power_w for _, reading in readings], at_s)
        self.unclaimed = Unclaimed.of(idle=self._tally.idle, lost=self._lost, unmeasured_s=self._tally.unmeasured_s)

    def use(self, tokens: int) -> Use:
        """Measure one attempt, of so many tokens in flight: `with use: …`, then `use.energy`."""
        return Use(self, tokens)

    def lose(self, use: Use) -> None:
        """Nobody's commit counts what this attempt used: it is spent all the same, on no job."""
        self._lost += use.energy
        use.energy, use.ran = Energy(), False

    def begin(self, tokens: int) -> Flight:
        return self._tally.begin(tokens, self._clock())

    def end(self, flight: Flight) -> Energy:
        energy = self._tally.end(flight, self._clock())
        return replace(energy, simulated=True) if self._simulated else energy


class Use:
    """One attempt's use of the cards."""

    def __init__(self, meter: Meter, tokens: int) -> None:
        self._meter = meter
        self._tokens = tokens
        self._flight: Flight | None = None
        self.energy = Energy()
        self.ran = False
        """Whether it was in flight at all: what never was has used nothing, and that is known."""

    def __enter__(self) -> None:
        self._flight = self._meter.begin(self._tokens)
        self.ran = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flight is not None:
            self.energy = self._meter.end(self._flight)
            self._flight = None
