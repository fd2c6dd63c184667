"""Whether an engine that fell may be started again now."""

from __future__ import annotations

import pytest

from viiwork.power.turns import may_begin_again
from viiwork.powerfile import Order, PowerFile

FELL_S = 100.0


def may(told: PowerFile | None, *, now_s: float = 110.0) -> bool:
    return may_begin_again(told, worker="gpu0", fell_s=FELL_S, now_s=now_s)


def told(order: Order, *, host_watts: float | None = 900.0) -> PowerFile:
    return PowerFile(at_s=109.0, believed_s=15.0, deals=True, host_watts=host_watts, workers={"gpu0": order})


def test_where_nobody_deals_out_turns_it_begins_at_once() -> None:
    """There is no power room, or one for hours alone."""
    assert may(None)
    assert may(PowerFile(at_s=109.0, believed_s=15.0))


@pytest.mark.parametrize(("let_s", "begins"), [(None, True), (40.0, False), (100.5, True)])
def test_the_turn_that_it_had_before_it_fell_is_over(let_s: float | None, begins: bool) -> None:
    """A power room of an earlier version tells no moments."""
    assert may(told(Order(let_s=let_s))) is begins


def test_one_that_may_not_load_waits() -> None:
    assert not may(told(Order(may_load=False)))
    assert not may(PowerFile(at_s=109.0, believed_s=15.0, deals=True)), "nor one that is not named yet"


def test_when_the_power_room_was_killed_it_waits_only_where_there_is_a_budget() -> None:
    """As other loads: caps hold by themselves, and nobody will deal out turns any more."""
    assert not may(told(Order(let_s=40.0)), now_s=200.0)
    assert may(told(Order(let_s=40.0), host_watts=None), now_s=200.0)
