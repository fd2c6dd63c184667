"""A simulated day with a night schedule: the budget, the temperatures and every joule are held to."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

import pytest

from simulated_day import Card, Day, Mishap, owners, run_day
from viiwork.power.energy import NOBODY, by_owner, total
from viiwork.power.schedule import schedule_of
from viiwork.settings import PowerSection, ScheduleEntry

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT = datetime(2026, 6, 10, tzinfo=BERLIN)
POWER = PowerSection(host_watts=1000, cap_watts=150)
"""By day there is room for seven of the eight cards at their lowest cap."""
NIGHT = ScheduleEntry.model_validate({"when": "22:00-07:00", "lanes": ["batch"], "host_watts": 1400, "cap_watts": 180})


def change(index: int, **fields: object) -> Mishap:
    def happen(cards: list[Card]) -> None:
        for name, value in fields.items():
            setattr(cards[index], name, value)

    return happen


MISHAPS = {
    2 * 3600.0: change(5, fan=False),
    4 * 3600.0: change(5, fan=True),
    11 * 3600.0: change(3, cap_w=250.0),  # its driver has started again
    12 * 3600.0: change(2, overshoot=1.15),  # it does not keep to its cap
    13 * 3600.0: change(2, overshoot=1.0),
    16 * 3600.0: change(6, state="resetting", running=[]),
    16 * 3600.0 + 300: change(6, state="ok", cap_w=250.0),
    23 * 3600.0: change(1, fan=False),
}


@pytest.fixture(scope="module")
def day() -> Day:
    schedule = schedule_of([NIGHT], POWER, zone=BERLIN)
    return run_day(schedule, POWER, begin=MIDNIGHT, period_s=15, mishaps=MISHAPS)


@pytest.fixture(scope="module")
def uncapped() -> Day:
    """No cap can be written: each card may draw 250 W."""
    schedule = schedule_of([NIGHT], POWER, zone=BERLIN)
    return run_day(schedule, POWER, begin=MIDNIGHT, writable=False, period_s=60)


def longest_over(day: Day) -> int:
    """Periods in a row in which the budget was not kept."""
    return max((len(list(run)) for over, run in groupby(day.over) if over), default=0)


def test_the_budget_is_never_exceeded_by_more_than_one_period(day: Day) -> None:
    """Nor often: a driver that forgot its cap, and a card that does not keep to it."""
    assert longest_over(day) <= 1
    assert 1 <= sum(day.over) <= 4
    assert day.over[11 * 240], "when the driver forgot"


def test_the_budget_is_used(day: Day) -> None:
    assert day.peak_w[1400] > 0.95 * 1400
    assert day.peak_w[1000] > 0.95 * 1000
    assert day.ran == {1400: {8}, 1000: {7}}


def test_no_card_passes_its_critical_temperature(day: Day) -> None:
    """Also one whose fan stops under full load."""
    for card in day.cards:
        for label, (critical, _) in card.kind.limits.items():
            assert card.hottest[label] < critical, (card.id, label)
    assert day.cards[5].hottest["junction"] > 95


@pytest.mark.parametrize("writable", [True, False])
def test_a_card_that_loses_its_fan_at_its_default_cap_is_paused_in_time(writable: bool) -> None:
    """With looks a second apart; the model's card warms by a degree a second then."""
    power = PowerSection()
    nothing = schedule_of([], power, zone=BERLIN)
    lost = {600.0: change(5, fan=False)}
    day = run_day(nothing, power, begin=MIDNIGHT, writable=writable, period_s=1, hours=0.5, mishaps=lost)
    assert day.cards[5].paused > 0
    assert day.cards[5].hottest["junction"] < 105
    assert (day.given_back > 0) is not writable
    assert day.cards[4].paused == 0


def test_every_joule_is_attributed_once(day: Day) -> None:
    """To a job, or to nobody, within 1 % of what was drawn in truth."""
    rows = [card.account.rows for card in day.cards]
    attributed_j = sum(energy.known_j for card in rows for energy in card.values())
    assert attributed_j == pytest.approx(sum(card.truth_j for card in day.cards), rel=0.01)
    assert 0 < sum(card[NOBODY].known_j for card in rows) < 0.5 * attributed_j
    for card in day.cards:
        assert total(card.account.rows.values()).known_j == pytest.approx(card.truth_j, rel=0.01)


def test_tenants_and_nobody_add_up_to_the_whole(day: Day) -> None:
    rows = {job: energy for card in day.cards for job, energy in card.account.rows.items() if job != NOBODY}
    by_tenant = by_owner(rows, owners(rows, tenants=3))
    assert set(by_tenant) == {"tenant0", "tenant1", "tenant2"}
    assert total(by_tenant.values()).known_j == pytest.approx(total(rows.values()).known_j)


def test_time_in_which_nobody_measured_is_told(day: Day) -> None:
    """The five minutes of a reset, and what of the stretches about them is known at one end alone."""
    unknown_s = [total(card.account.rows.values()).unknown_s for card in day.cards]
    assert unknown_s == [0, 0, 0, 0, 0, 0, 315, 0]


def test_without_caps_as_many_cards_run_as_fit_and_the_budget_is_kept(uncapped: Day) -> None:
    """Four by night, two by day; those that must stop give their jobs back."""
    assert uncapped.ran == {1400: {4}, 1000: {2}}
    assert longest_over(uncapped) == 0
    assert 0 < uncapped.given_back <= 8
