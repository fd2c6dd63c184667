"""Prices of one's own work, held against figures that were worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from viiwork.rig.price import Price, Terms, Work, price, tokens_per_joule

WORK = Work(prompt_tokens_per_s=1000.0, output_tokens_per_s=200.0, cards_w=900.0)
"""In an hour: 3.6 million tokens of prompts, 0.72 million of answers, 4.32 million in all."""
TERMS = Terms(
    currency="EUR",
    supply_efficiency=0.9,
    base_w=150.0,
    tariff_per_kwh=0.30,
    hardware_price=2400.0,
    years=3.0,
    cloud_in=0.10,
    cloud_out=0.40,
    page_tokens=500,
)


@pytest.fixture
def found() -> Price:
    return price(WORK, TERMS)


def test_the_wall_has_what_the_supply_loses_and_the_rest_of_the_machine(found: Price) -> None:
    """150 + 900 / 0.9."""
    assert found.wall_w == pytest.approx(1150.0)


def test_an_hour_costs_its_electricity_and_its_share_of_the_hardware(found: Price) -> None:
    """1.15 kWh at 0.30; 2,400 over 26,280 hours."""
    assert found.energy_per_hour == pytest.approx(0.345)
    assert found.hardware_per_hour == pytest.approx(0.0913242, rel=1e-6)


def test_tokens_and_pages_share_what_the_hour_costs(found: Price) -> None:
    """0.4363242 over 4.32 and 0.72 million, and over 7,200 pages."""
    assert found.per_million_tokens == pytest.approx(0.1010010, rel=1e-6)
    assert found.per_million_output_tokens == pytest.approx(0.6060058, rel=1e-6)
    assert found.per_1000_pages == pytest.approx(0.0606006, rel=1e-5)


def test_the_named_price_is_that_of_the_same_mix(found: Price) -> None:
    """3.6 x 0.10 + 0.72 x 0.40 = 0.648 for 4.32 million."""
    assert found.cloud_per_million_tokens == pytest.approx(0.15)
    assert found.cloud_per_1000_pages == pytest.approx(0.09)


def test_the_hardware_pays_for_itself_by_what_an_hour_saves(found: Price) -> None:
    """2,400 / (0.648 - 0.345): electricity alone, for the hardware is what is to be earned."""
    assert found.break_even_hours == pytest.approx(7920.79, rel=1e-5)
    assert not found.never


def test_it_never_does_where_electricity_costs_as_much_as_the_named_price() -> None:
    found = price(WORK, replace(TERMS, tariff_per_kwh=0.60))
    assert (found.break_even_hours, found.never) == (None, True)


def test_without_the_cards_watts_nothing_has_a_price_and_nothing_is_zero() -> None:
    """The named price does not need them."""
    found = price(replace(WORK, cards_w=None), TERMS)
    assert found.cloud_per_million_tokens == pytest.approx(0.15)
    unknown = (found.wall_w, found.energy_per_hour, found.per_million_tokens, found.per_1000_pages)
    assert unknown == (None, None, None, None)
    assert (found.break_even_hours, found.never) == (None, False)


@pytest.mark.parametrize("missing", ["tariff_per_kwh", "cloud_out", "hardware_price"])
def test_what_was_not_said_is_not_made_up(missing: str) -> None:
    """Whichever is missing, there is no moment at which it pays."""
    assert price(WORK, replace(TERMS, **{missing: None})).break_even_hours is None


def test_without_years_the_price_is_that_of_electricity() -> None:
    """0.345 / 4.32."""
    assert price(WORK, replace(TERMS, years=None)).per_million_tokens == pytest.approx(0.0798611, rel=1e-6)


def test_no_work_has_no_price_for_a_token() -> None:
    idle = replace(WORK, prompt_tokens_per_s=0.0, output_tokens_per_s=0.0)
    assert price(idle, TERMS).per_million_tokens is None


def test_tokens_a_joule_are_tokens_a_second_over_watts() -> None:
    assert tokens_per_joule(200.0, 800.0) == 0.25
    assert tokens_per_joule(200.0, None) is None
    assert tokens_per_joule(None, 800.0) is None
