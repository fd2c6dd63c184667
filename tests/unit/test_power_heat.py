"""How warm a card is, and what follows: by its own limits, with a way back that does not flap."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.devices.base import Reading, State, Temperature
from viiwork.power.heat import COOL, PATIENCE, Heat, heat_of


def card(
    state: State = "ok",
    *,
    critical: float | None = 105.0,
    memory_critical: float | None = 94.0,
    **celsius: float,
) -> Reading:
    limits = {"junction": critical, "mem": memory_critical}
    return Reading(state, temperatures=tuple(Temperature(k, v, limits.get(k)) for k, v in celsius.items()))


def run(*looks: Reading, before: Heat = COOL) -> list[Heat]:
    found = []
    for look in looks:
        before = heat_of(look, before=before)
        found.append(before)
    return found


@pytest.mark.parametrize(
    ("junction", "level", "share"),
    [(94.9, "cool", 1.0), (95, "warm", 0.75), (98, "warm", 0.5), (101, "warm", 0.25), (103, "hot", 0.0)],
)
def test_slots_go_down_in_quarters_from_the_warning_to_the_limit(junction: float, level: str, share: float) -> None:
    """Of a Radeon VII, whose junction is critical at 105."""
    (heat,) = run(card(junction=junction))
    assert (heat.level, heat.share) == (level, share)


@pytest.mark.parametrize(
    ("sensor", "celsius", "level"),
    [
        ("junction", 94, "cool"),
        ("junction", 95, "warm"),
        ("junction", 105, "hot"),
        ("mem", 84, "cool"),
        ("mem", 85, "warm"),
        ("mem", 92, "hot"),
    ],
)
@pytest.mark.parametrize("told", [None, 0.0, 511.0])
def test_a_card_that_tells_no_limit_has_the_known_ones_of_its_kind(
    sensor: str, celsius: float, level: str, told: float | None
) -> None:
    """Nor is a limit believed that no chip can have."""
    (heat,) = run(card(critical=told, memory_critical=told, **{sensor: float(celsius)}))
    assert heat.level == level


def test_the_sensor_counts_that_is_nearest_to_its_limit() -> None:
    """Not the one with the most degrees."""
    (heat,) = run(card(junction=93, mem=91, edge=70))
    assert (heat.level, heat.share) == ("warm", 0.25)
    assert heat.why == "mem at 91 °C: warns from 84, hot from 92"


def test_a_hot_card_takes_nothing_until_it_is_below_its_warning() -> None:
    heats = run(*(card(junction=celsius) for celsius in (103, 100, 96, 92, 91, 94)))
    assert [heat.share for heat in heats] == [0, 0, 0, 0, 1, 1]
    assert [heat.level for heat in heats] == ["hot"] * 4 + ["cool"] * 2


def test_a_hot_card_that_goes_on_warming_gives_back_what_it_has() -> None:
    """A degree below the temperature at which it would throttle itself."""
    heats = run(*(card(junction=celsius) for celsius in (103.5, 104, 104.5, 103.5)))
    assert [heat.give_back for heat in heats] == [False, True, True, False]


def test_a_temperature_that_swings_about_a_step_moves_nothing() -> None:
    heats = run(*(card(junction=celsius) for celsius in (95.1, 94.9, 95.1, 94.0, 92.0, 91.7)))
    assert [heat.share for heat in heats] == [0.75] * 5 + [1.0]


def test_what_is_not_known_is_neither_cool_nor_a_reason_to_stop() -> None:
    """A share stays as it was."""
    (heat,) = run(Reading("ok"))
    assert (heat.level, heat.share, heat.why) == ("unknown", 1.0, "its temperature is not known")
    warm, unknown = run(card(junction=98), Reading("resetting"))
    assert (unknown.level, unknown.share, unknown.why) == ("unknown", warm.share, "it is resetting")
    (nobody_knows,) = run(Reading("ok", temperatures=(Temperature("edge", 99.0),)))
    assert nobody_knows.level == "unknown"


def test_a_hot_card_whose_sensor_is_lost_goes_on_slowly_after_a_while() -> None:
    """And counts as hot again when it is seen to be."""
    heats = run(card(junction=104), *[Reading("ok")] * (PATIENCE + 1))
    assert [heat.share for heat in heats] == [0.0] * (PATIENCE + 1) + [0.25]
    assert run(card(junction=104), before=heats[-1])[0].level == "hot"


def test_a_card_that_runs_at_all_has_a_slot() -> None:
    assert [Heat(share=share).slots_of(1) for share in (1, 0.75, 0.25, 0)] == [1, 1, 1, 0]
    assert [Heat(share=share).slots_of(16) for share in (1, 0.75, 0.25, 0)] == [16, 12, 4, 0]


CELSIUS = st.floats(20, 130)


@given(st.lists(CELSIUS, min_size=1, max_size=30))
def test_warmer_never_gives_more_and_cooler_never_less(celsius: list[float]) -> None:
    looks = [card(junction=each) for each in celsius]
    heats = run(*looks)
    for (earlier, later), (warmth, next_warmth) in zip(pairwise(heats), pairwise(celsius), strict=True):
        assert later.share <= earlier.share if next_warmth >= warmth else later.share >= earlier.share
    assert all((heat.share == 0) == (heat.level == "hot") for heat in heats)
    assert all(heat.share == 0 for heat, each in zip(heats, celsius, strict=True) if each >= 103)
