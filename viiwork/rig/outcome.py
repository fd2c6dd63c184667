"""What a run came to, as data: steps, waits, cards, and what had to be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from viiwork.rig.looks import Window
from viiwork.rig.people import Asked
from viiwork.rig.price import tokens_per_joule
from viiwork.rig.spread import Spread, median_of, percentile, spread
from viiwork.work import Usage

BY_ENGINE, BY_ANSWERS = "engine", "answers"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a job took on average, by the answers' own counts."""

    prompt: float
    output: float
    answers: int

    @classmethod
    def of(cls, usages: Sequence[Usage]) -> Tokens | None:
        """Of some answers; None of none."""
        if not usages:
            return None
        return cls(fmean(u.prompt_tokens for u in usages), fmean(u.output_tokens for u in usages), len(usages))


@dataclass(frozen=True, slots=True)
class Step:
    """One way of being busy: so many workers, so many jobs in flight."""

    workers: int
    cards: int
    in_flight: float
    """On average, all workers together."""
    output_tokens_per_s: Spread | None
    counted_by: str
    """`engine`, or `answers` where an engine does not count: by jobs that ended, which moves in steps."""
    jobs_per_s: Spread | None
    watts: float | None
    """Of the cards of these workers."""
    all_watts: float | None
    others: int
    """Rounds in which others had jobs in the fleet."""
    dry: int
    """Rounds in which slots may have been empty."""
    short: int
    """Rounds in which fewer than two jobs for each one in flight ended: they scatter."""
    throttled: int
    """Rounds in which heat or watts held workers back: what the rig does, but not all that its cards could."""

    @property
    def tokens_per_joule(self) -> float | None:
        """Of the cards of these workers."""
        return tokens_per_joule(median_of(self.output_tokens_per_s), self.watts)


def step_of(
    windows: Sequence[Window], *, workers: int, cards: int, tokens: Tokens | None, less: Sequence[float] = ()
) -> Step:
    """From its rounds. `less` is what of each round's tokens a second was not its own."""
    counted = [window.output_tokens_per_s for window in windows]
    jobs = [window.jobs_per_s for window in windows]
    by_engine = None not in counted
    if not by_engine:
        counted = [None if tokens is None else rate * tokens.output for rate in jobs]
    theirs = [*less, *[0.0] * (len(windows) - len(less))] if by_engine else [0.0] * len(windows)
    rates = [None if rate is None else max(0.0, rate - other) for rate, other in zip(counted, theirs, strict=True)]
    return Step(
        workers=workers,
        cards=cards,
        in_flight=fmean(window.in_flight for window in windows),
        output_tokens_per_s=spread(rates),
        counted_by=BY_ENGINE if by_engine else BY_ANSWERS,
        jobs_per_s=spread(list(jobs)),
        watts=median_of(spread([window.watts for window in windows])),
        all_watts=median_of(spread([window.all_watts for window in windows])),
        others=sum(window.others for window in windows),
        dry=sum(window.dry for window in windows),
        short=sum(window.short for window in windows),
        throttled=sum(window.throttled for window in windows),
    )


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds to the first words."""

    questions: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None

    @classmethod
    def of(cls, asked: Sequence[Asked]) -> Waits:
        """Of these questions."""
        found = [1000 * each.first_s for each in asked]
        return cls(len(found), percentile(found, 50), percentile(found, 95), percentile(found, 99))


@dataclass(frozen=True, slots=True)
class Beside:
    """People and a batch at once."""

    people: int
    idle: Waits
    beside: Waits
    alone: Step
    """The batch without people; the rounds were in turn with those beside."""
    with_people: Step
    kept: Spread | None
    """The batch's tokens a second beside people over those without, each round for itself."""
    failed: int
    """Questions that came to nothing."""


@dataclass(frozen=True, slots=True)
class CardKind:
    """Cards of one kind."""

    name: str
    count: int
    cap_w: float | None
    core_mhz: int | None
    memory_mhz: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that was measured."""

    model: str
    engine: str
    simulated: bool
    versions: dict[str, str]
    cards: tuple[CardKind, ...]
    workers: int
    slots: int
    hosts: int
    window_s: float
    tokens: Tokens
    in_flight: tuple[Step, ...]
    """One worker, with more and more jobs at once."""
    crews: tuple[Step, ...]
    """More and more workers, each with all of its slots."""
    beside: Beside | None
    failed: int
    """Jobs that came to nothing."""
    left_out: tuple[str, ...]
    """What could not be measured or told, and why, a sentence each."""

    @property
    def sustained(self) -> Step | None:
        """What documents get: the batch alone on all workers; where that was not measured, the largest crew."""
        if self.beside is not None:
            return self.beside.alone
        return self.crews[-1] if self.crews else self.in_flight[-1] if self.in_flight else None

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {**_plain(self), "sustained": _plain(self.sustained)}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
        return fields | ({"tokens_per_joule": _plain(value.tokens_per_joule)} if isinstance(value, Step) else {})
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value
