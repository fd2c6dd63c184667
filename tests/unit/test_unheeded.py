"""Limits that nobody keeps are told when a fleet starts."""

from __future__ import annotations

import pytest

from viiwork.fleet.unheeded import unheeded
from viiwork.settings import load_settings


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ({"power": {"host_watts": 1400}}, "power.host_watts"),
        ({"power": {"cap_watts": 180}}, "power.cap_watts"),
        ({"schedule": [{"when": "22:00-07:00", "cap_watts": 180}]}, "schedule"),
    ],
)
def test_a_limit_that_nothing_keeps_is_told(section: dict[str, object], name: str) -> None:
    (text,) = unheeded(load_settings(section))
    assert f"to {name} yet" in text


def test_without_limits_there_is_nothing_to_tell() -> None:
    """A tariff keeps no card to anything."""
    assert unheeded(load_settings({"power": {"tariff_per_kwh": 0.3}})) == []
