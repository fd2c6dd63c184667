"""When a worker leaves hints to others for a moment."""

from __future__ import annotations

from viiwork_workers.takes import PATIENCE_S, Manners


def test_a_worker_rests_once_for_others_that_take_nothing() -> None:
    """What they have not taken by then they do not want; a second later they may."""
    manners = Manners()
    asked_s = [10.0, 10.1, 10.0 + PATIENCE_S - 0.1, 10.0 + PATIENCE_S]
    assert [manners.rests(left=3, now_s=now_s) for now_s in asked_s] == [True, False, False, True]


def test_a_worker_rests_as_long_as_others_take_what_is_left() -> None:
    """Of 32 hints all took 8, and of four more each is to have one."""
    manners = Manners()
    assert [manners.rests(left=left, now_s=10.0) for left in (24, 3, 2, 0)] == [True, True, False, False]
