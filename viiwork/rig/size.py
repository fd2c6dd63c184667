"""How much is measured: which steps, for how long each. Pure."""

from __future__ import annotations

from dataclasses import dataclass

OVERHEAD_S = 4.0
"""A change of who takes jobs is known to the workers with their next beats, a second or two later."""


@dataclass(frozen=True, slots=True)
class Size:
    """Windows of `window_s`, `rounds` of them a step; before the first the load settles, for `settle_s` at most."""

    window_s: float
    rounds: int
    settle_s: float

    def __post_init__(self) -> None:
        if self.window_s <= 0 or self.rounds < 1 or self.settle_s < 0:
            raise ValueError("a size has windows")

    @property
    def step_s(self) -> float:
        """About how long one step takes, without its settling."""
        return OVERHEAD_S + self.rounds * self.window_s


QUICK = Size(window_s=10.0, rounds=2, settle_s=20.0)
USUAL = Size(window_s=20.0, rounds=3, settle_s=60.0)
FULL = Size(window_s=60.0, rounds=5, settle_s=180.0)


def doubling(most: int) -> tuple[int, ...]:
    """1, 2, 4, … up to `most`, which is always the last."""
    if most < 1:
        return ()
    powers = (1 << power for power in range(most.bit_length()))
    return tuple(sorted({*(count for count in powers if count <= most), most}))


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one run: how many in flight on one worker, how many workers, and whether people come beside."""

    size: Size
    in_flight: tuple[int, ...]
    crews: tuple[int, ...]
    """How many workers, each with all of its slots."""
    people: int

    def seconds(self, *, job_s: float = 0.0) -> float:
        """About how long all of it takes, where a job takes `job_s`."""
        settling_s = min(2 * job_s + 2, self.size.settle_s)
        steps = (len(self.in_flight) + len(self.crews)) * (self.size.step_s + settling_s)
        beside = 3 * self.size.step_s + 2 * self.size.rounds * settling_s if self.people else 0.0
        return steps + beside


def planned(size: Size, *, workers: int, slots: int, most_in_flight: int, people: int) -> Plan:
    """The steps for so many workers, each with so many slots."""
    levels = doubling(min(slots, most_in_flight))
    crews = doubling(workers)
    if levels and levels[-1] == slots:
        crews = crews[1:]  # one worker with all of its slots was measured by then
    return Plan(size, levels, crews, people)
