"""What a run could not tell, and what its figures are not: a sentence each. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from viiwork.rig.crew import Crew
from viiwork.rig.outcome import BY_ANSWERS, Beside, Step
from viiwork.rig.size import Plan


def left_out(
    crew: Crew, plan: Plan, steps: Iterable[Step], beside: Beside | None, *, most_in_flight: int
) -> tuple[str, ...]:
    """In the order in which a reader needs them."""
    every = [*steps, *([beside.alone, beside.with_people] if beside else [])]
    return tuple(
        sentence
        for sentence in (*_cards(crew, every), *_extent(crew, plan, most_in_flight), *_doubts(every))
        if sentence
    )


def _cards(crew: Crew, steps: list[Step]) -> Iterable[str]:
    """What is not known of cards."""
    missing = "watts, tokens per joule and the price of electricity are left out"
    if not crew.cards(crew.names):
        yield f"No worker was told of a card: {missing}."
    elif all(step.watts is None for step in steps):
        yield f"The cards do not tell what they draw: {missing}."
    elif any(step.watts is None for step in steps):
        yield "In some steps a card did not tell what it draws: they have no watts."


def _extent(crew: Crew, plan: Plan, most_in_flight: int) -> Iterable[str]:
    """What was not measured."""
    if crew.unable:
        yield f"Workers that took no jobs when it began were left out: {len(crew.unable)} of them."
    if crew.slots < most_in_flight:
        yield f"More than {crew.slots} in flight on one worker was not measured: it has {crew.slots} slots."
    if len(crew.workers) == 1:
        yield "More than one worker was not measured: the model has one."
    if not plan.people:
        yield "People beside a batch were not measured: --users 0."


def _doubts(steps: list[Step]) -> Iterable[str]:
    """Figures that are less than they look."""
    if any(step.counted_by == BY_ANSWERS for step in steps):
        yield "Where an engine does not count its tokens they were counted by answers that ended, which moves in steps."
    if others := sum(step.others for step in steps):
        yield f"Others had jobs in the fleet during {others} windows: those figures are too low."
    if throttled := sum(step.throttled for step in steps):
        yield f"Heat or watts held workers back during {throttled} windows: the cards themselves could do more."
    if short := sum(step.short for step in steps):
        yield f"{short} windows were short for jobs so long, and scatter: give a longer --window, or --full."
    if dry := sum(step.dry for step in steps):
        yield f"The work that waited ran out for a moment in {dry} windows: those figures may be too low."
