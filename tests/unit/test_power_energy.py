"""Whose energy it was: every joule once, and what was not measured said so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.expense import Cost
from viiwork.power.cost import cost_of
from viiwork.power.energy import NOBODY, Account, Energy, Sample, by_owner, merged, total
from viiwork.settings import PowerSection


def account(*samples: Sample) -> Account:
    made = Account()
    for sample in samples:
        made.add(sample)
    return made


def test_power_between_two_samples_is_a_straight_line() -> None:
    rows = account(Sample(0, 100), Sample(10, 200, {"a": 5})).rows
    assert rows == {"a": Energy(1500, 10)}


def test_jobs_share_by_their_tokens_and_nobody_has_what_is_left() -> None:
    rows = account(Sample(0, 200), Sample(1, 200, {"a": 300, "b": 100}), Sample(2, 20, {"a": 0})).rows
    assert rows["a"] == Energy(150, 0.75)
    assert rows["b"] == Energy(50, 0.25)
    assert rows[NOBODY] == Energy(110, 1)


@pytest.mark.parametrize("broken", [Sample(5, None, {"a": 1}), Sample(60, 100, {"a": 1})])
def test_a_gap_and_a_reading_without_power_are_time_that_is_not_known(broken: Sample) -> None:
    """And no energy of 0."""
    row = account(Sample(0, 100), broken).rows["a"]
    assert row.joules is None
    assert row.known_share == 0
    assert row.unknown_s == broken.at_s


def test_what_is_known_in_part_says_in_which() -> None:
    row = account(Sample(0, 100), Sample(5, 100, {"a": 1}), Sample(10, None, {"a": 1})).rows["a"]
    assert (row.joules, row.known_share) == (500, 0.5)


def test_nothing_at_all_is_not_known() -> None:
    assert Energy().joules is None
    assert account(Sample(0, 100)).rows == {}


def test_a_job_that_has_ended_takes_its_row_with_it() -> None:
    made = account(Sample(0, 100), Sample(1, 100, {"a": 1, "b": 1}))
    assert made.take("a") == Energy(50, 0.5)
    assert made.take("a") == Energy()
    assert set(made.rows) == {"b"}


def test_rows_of_jobs_add_up_to_those_of_batches_and_of_tenants() -> None:
    rows = {"a": Energy(1, 1), "b": Energy(2, 1), "c": Energy(unknown_s=4), NOBODY: Energy(8, 1)}
    batches = by_owner(rows, {"a": "x", "b": "x", "c": "y"})
    assert batches == {"x": Energy(3, 2), "y": Energy(unknown_s=4), NOBODY: Energy(8, 1)}
    assert total(batches.values()) == total(rows.values())


def test_a_job_on_two_cards_used_the_energy_of_both() -> None:
    first = account(Sample(0, 100), Sample(1, 100, {"a": 1})).rows
    second = account(Sample(0, 50), Sample(1, 50, {"a": 1}), Sample(2, 10)).rows
    assert merged([first, second]) == {"a": Energy(150, 2), NOBODY: Energy(30, 1)}


SAMPLES = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.one_of(st.none(), st.floats(0, 400)),
        st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1e5)),
    ),
    min_size=2,
    max_size=20,
)


@given(SAMPLES)
def test_all_rows_together_are_the_integral_and_the_time(
    steps: list[tuple[float, float | None, dict[str, float]]],
) -> None:
    """Whoever ran when."""
    samples, at_s = [], 0.0
    for seconds, power, tokens in steps:
        at_s += seconds
        samples.append(Sample(at_s, power, tokens))
    whole = total(account(*samples).rows.values())
    alone = total(account(*(Sample(each.at_s, each.power_w) for each in samples)).rows.values())
    assert whole.known_j == pytest.approx(alone.known_j)
    assert whole.known_s + whole.unknown_s == pytest.approx(at_s - samples[0].at_s)


def test_a_kilowatt_hour_costs_what_the_tariff_says_and_what_the_supply_loses() -> None:
    power = PowerSection(tariff_per_kwh=0.3, co2_g_per_kwh=400, supply_efficiency=0.9)
    cost = cost_of(0.9 * 3_600_000, power)
    assert cost is not None
    assert (cost.cards_kwh_at_wall, cost.money, cost.co2_g) == pytest.approx((1, 0.3, 400))
    assert cost.currency == "EUR"


def test_what_is_not_known_has_no_price() -> None:
    assert cost_of(None, PowerSection(tariff_per_kwh=0.3)) is None
    assert cost_of(3_600_000, PowerSection(supply_efficiency=1.0)) == Cost(cards_kwh_at_wall=1.0)


def test_what_the_machine_draws_beside_its_cards_is_no_jobs() -> None:
    dear, cheap = (cost_of(1000, PowerSection(base_watts=watts)) for watts in (500, 0))
    assert dear == cheap
