"""Whose energy it was: power over time, split by tokens in flight. Pure; what nobody measured stays unknown.

Between two samples of a card its power is a straight line (the trapezoid rule). A stretch that is longer than the
longest gap, or at one end of which the power was not told, is unknown: it counts as time, not as no energy. Each
stretch belongs to the jobs that were in flight in it, by their tokens; without any to nobody, which has its own row.
So all rows together are the integral.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NOBODY = ""
"""Whose energy it was while no job was in flight."""
LONGEST_GAP_S = 15.0
JOULES_PER_KWH = 3_600_000.0


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy as far as it is known. Energies add up."""

    known_j: float = 0.0
    known_s: float = 0.0
    """Card-seconds whose power was measured; of a card that several jobs share, this job's part."""
    unknown_s: float = 0.0
    simulated: bool = False
    """Some of it is of cards that are not there."""

    @property
    def joules(self) -> float | None:
        """What was measured, a lower bound where some is unknown; None where nothing was."""
        return self.known_j if self.known_s > 0.0 else None

    @property
    def known_share(self) -> float:
        """How much of the time was measured, 0 to 1."""
        seconds = self.known_s + self.unknown_s
        return self.known_s / seconds if seconds else 0.0

    def __add__(self, other: Energy) -> Energy:
        return Energy(
            self.known_j + other.known_j,
            self.known_s + other.known_s,
            self.unknown_s + other.unknown_s,
            self.simulated or other.simulated,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """A card at one moment, and who used it since the sample before."""

    at_s: float
    """On a clock that never goes back."""
    power_w: float | None
    tokens: Mapping[str, float] = field(default_factory=dict)
    """Tokens in flight by job, over the time since the sample before. Also of jobs that began and ended within it."""


def stretch(before: Sample, after: Sample, *, longest_gap_s: float = LONGEST_GAP_S) -> Energy:
    """What one card used between two samples."""
    seconds = max(0.0, after.at_s - before.at_s)
    if before.power_w is None or after.power_w is None or seconds > longest_gap_s:
        return Energy(unknown_s=seconds)
    return Energy((before.power_w + after.power_w) / 2 * seconds, seconds)


def shared(energy: Energy, tokens: Mapping[str, float]) -> dict[str, Energy]:
    """The energy of a stretch by job; all of it to nobody where no job had tokens in flight."""
    weights = {job: weight for job, weight in tokens.items() if weight > 0.0}
    total = sum(weights.values())
    if not total:
        return {NOBODY: energy}
    return {job: _part(energy, weight / total) for job, weight in weights.items()}


def total(energies: Iterable[Energy]) -> Energy:
    """All of them together."""
    return sum(energies, Energy())


def merged(accounts: Iterable[Mapping[str, Energy]]) -> dict[str, Energy]:
    """The rows of several cards as one table: a job may run on more than one."""
    found: dict[str, Energy] = {}
    for rows in accounts:
        for job, energy in rows.items():
            found[job] = found.get(job, Energy()) + energy
    return found


def by_owner(rows: Mapping[str, Energy], owner: Mapping[str, str]) -> dict[str, Energy]:
    """Rows by job as rows by batch or tenant: `owner` says whose a job is; what it does not name is nobody's."""
    return merged({owner.get(job, NOBODY): energy} for job, energy in rows.items())


class Account:
    """Adds up one card's samples, in their order."""

    def __init__(self, *, longest_gap_s: float = LONGEST_GAP_S) -> None:
        self._longest_gap_s = longest_gap_s
        self._last: Sample | None = None
        self._rows: dict[str, Energy] = {}

    def add(self, sample: Sample) -> None:
        """One more; the first only begins."""
        if self._last is not None:
            energy = stretch(self._last, sample, longest_gap_s=self._longest_gap_s)
            for job, part in shared(energy, sample.tokens).items():
                self._rows[job] = self._rows.get(job, Energy()) + part
        self._last = sample

    def take(self, job: str) -> Energy:
        """A job's row, which is then gone: it has ended. Add a sample first, or its last stretch comes too late."""
        return self._rows.pop(job, Energy())

    @property
    def rows(self) -> Mapping[str, Energy]:
        """By job, and `NOBODY`."""
        return dict(self._rows)


def _part(energy: Energy, share: float) -> Energy:
    return Energy(energy.known_j * share, energy.known_s * share, energy.unknown_s * share)
