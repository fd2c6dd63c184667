"""Whatever does not fit: what a refusal says is true of the plan beside it, and comes true when it is typed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.test_plan_properties import NAMES, rig
from viiwork.placement.plan import Plan, plan
from viiwork.placement.wish import Wish, read_wish

TYPED = re.compile(r"(?:as --model (\S+) ?)?(?:with (context=\d+))?(?:on (\d+) cards)?(?:without (.+))?")
LEFT = re.compile(r"The others leave (\d+) cards?")
contexts = st.sampled_from(["", "", ",context=512", ",context=8192", ",context=32768"])


@st.composite
def asked(draw: st.DrawFn) -> list[str]:
    """As people write them: some longer than their model can."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    return [f"{name}{draw(contexts)},replicas={draw(st.integers(1, 2))}" for name in names]


def wishes_of(written: Sequence[str]) -> list[Wish]:
    return [read_wish(each) for each in written]


def refused(made: Plan, model: str) -> bool:
    return any(each.model == model for each in made.refusals)


def followed(written: list[str], model: str, remedy: str, count: int) -> tuple[Plan, str]:
    """The plan when that is done, and what the model is called in it."""
    found = TYPED.match(remedy)
    assert found is not None, remedy
    name, context, cards, gone = found.groups()
    assert name or context or cards or gone, remedy
    at = next(place for place, each in enumerate(written) if each.partition(",")[0] == model)
    options = [
        each for each in written[at].split(",")[1:] if not (context or "context=" in str(name)) or "con" not in each
    ]
    new = ",".join([name or model, *([context] if context else []), *options])
    away = (gone or "").split(" and ")
    others = [each for each in written[:at] + written[at + 1 :] if each.partition(",")[0] not in away]
    return plan(wishes_of([new, *others]), rig(int(cards or count))), new.partition(",")[0]


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 10), written=asked())
def test_what_would_fit_does_when_it_is_typed(count: int, written: list[str]) -> None:
    """And nobody else is served less by it."""
    made = plan(wishes_of(written), rig(count))
    lacking = {each.model for each in made.refusals}
    for refusal in made.refusals:
        for remedy in refusal.would_fit:
            after, name = followed(written, refusal.model, remedy, count)
            assert name == refusal.model or name not in {each.partition(",")[0] for each in written}
            assert not refused(after, name), remedy
            assert {each.model for each in after.refusals} <= lacking


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 10), written=asked())
def test_what_the_others_leave_is_spare(count: int, written: list[str]) -> None:
    """As many cards as the plan shows."""
    made = plan(wishes_of(written), rig(count))
    for refusal in made.refusals:
        told = LEFT.search(refusal.why)
        assert told is None or int(told[1]) == len(made.spare)
        assert "max_model_len" not in refusal.told
