"""What heat and watts leave a worker of its slots, and what it must give back."""

from __future__ import annotations

import pytest

from viiwork.devices.base import Reading, Temperature
from viiwork.power.heat import COOL, Heat, heats_of, of_all
from viiwork.power.standing import FREE, Standing
from viiwork_workers.restraint import Restraint, restraint

WARM = Heat("warm", 0.5, "junction at 99 °C")
HOT = Heat("hot", 0.0, "junction at 104 °C")
TOO_HOT = Heat("hot", 0.0, "junction at 105 °C", give_back=True)


@pytest.mark.parametrize(
    ("heat", "standing", "takes", "keeps"),
    [
        (COOL, FREE, 8, 8),
        (WARM, FREE, 4, 8),
        (HOT, FREE, 0, 8),
        (TOO_HOT, FREE, 0, 0),
        (COOL, Standing(0.3, 0.3, why="power"), 2, 2),
        (WARM, Standing(0.3, 0.3, why="power"), 2, 2),
        (Heat("warm", 0.25, "mem"), Standing(0.9, 0.9, why="power"), 2, 7),
        (COOL, Standing(0.0, 0.5, why="nobody watches"), 0, 4),
        (TOO_HOT, Standing(0.5, 0.5, why="power"), 0, 0),
    ],
)
def test_the_least_of_heat_and_watts_is_taken_and_what_is_beyond_watts_goes_back(
    heat: Heat, standing: Standing, takes: int, keeps: int
) -> None:
    """Heat lets a worker finish what it has, until it is too much even for that; watts cannot wait."""
    found = restraint(8, heat=heat, standing=standing)
    assert (found.takes, found.keeps) == (takes, keeps)
    assert bool(found.why) == ((takes, keeps) != (8, 8))


def test_people_are_told_of_both() -> None:
    found = restraint(8, heat=WARM, standing=Standing(0.5, 0.5, why="power: the budget"))
    assert found.why == "warm: junction at 99 °C; power: the budget"


def test_the_last_slot_is_left_by_heat_and_not_by_watts() -> None:
    """A budget is kept; a warm card is only relieved."""
    assert restraint(1, heat=WARM).takes == 1
    assert restraint(1, standing=Standing(0.9, 0.9)) == Restraint(0, 0)
    assert restraint(10, standing=Standing(0.1 + 0.2, 0.1 + 0.2)).takes == 3


def test_the_hottest_card_of_a_group_counts_for_all_of_it() -> None:
    readings = [
        (name, Reading("ok", temperatures=(Temperature("junction", celsius, 105.0),)))
        for name, celsius in (("a", 50.0), ("b", 99.0), ("c", 80.0))
    ]
    heats = heats_of(readings, before={})
    assert {name: heat.level for name, heat in heats.items()} == {"a": "cool", "b": "warm", "c": "cool"}
    assert of_all(heats.values()) == heats["b"]
    assert of_all([]) == COOL
    assert of_all([WARM, TOO_HOT, COOL]).give_back
