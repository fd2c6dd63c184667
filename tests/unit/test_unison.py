"""What is done once a period on one loop is done at one moment, whenever each of it began."""

from __future__ import annotations

import pytest

from viiwork_workers.engines.unison import LEAST, pause_s


@pytest.mark.parametrize("period_s", [1.0, 0.25])
def test_whoever_begins_when_meets_the_others_soon(period_s: float) -> None:
    """And is never called twice in a row for the same moment, as a clock just before it would have it."""
    for step in range(100):
        begin_s = 1234.0 + step * period_s / 100
        pause = pause_s(period_s, now_s=begin_s)
        assert LEAST * period_s <= pause < (1 + LEAST) * period_s
        assert (begin_s + pause) / period_s == pytest.approx(round((begin_s + pause) / period_s))


def test_the_pace_is_the_period() -> None:
    """Whoever wakes a little late, as everybody does, does not fall behind."""
    at_s = 10.3
    for turn in range(50):
        at_s += pause_s(1.0, now_s=at_s) + 0.01
        assert at_s == pytest.approx(11.01 + turn)
