"""When one may call others dead: only after a whole lease of steady contact with a steady clock."""

from __future__ import annotations

import logging

import pytest

from viiwork.settings import QueueSection
from viiwork_workers.lease import CLOCK_JUMP_S, Contact, pause_s


def test_nobody_is_called_dead_before_a_whole_lease_of_contact() -> None:
    contact = Contact(needed_s=12.0)
    assert not contact.long_enough(here_s=1000.0)
    contact.seen(here_s=100.0, server_s=5.0)
    assert not contact.long_enough(here_s=100.0)
    assert not contact.long_enough(here_s=111.9)
    assert contact.long_enough(here_s=112.0)


def test_a_missed_beat_starts_the_count_again() -> None:
    """Redis was away: the others could not beat either."""
    contact = Contact(needed_s=12.0)
    for at in range(20):
        contact.seen(here_s=float(at), server_s=float(at))
    assert contact.long_enough(here_s=19.0)
    contact.lost()
    assert not contact.long_enough(here_s=19.0)
    contact.seen(here_s=20.0, server_s=20.0)
    assert not contact.long_enough(here_s=31.0)
    assert contact.long_enough(here_s=32.0)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, CLOCK_JUMP_S + 0.1, -CLOCK_JUMP_S - 0.1])
def test_a_jump_of_redis_clock_starts_the_count_again(jump_s: float, caplog: pytest.LogCaptureFixture) -> None:
    """Beats are written with that clock: after a leap every worker looks silent."""
    contact = Contact(needed_s=5.0)
    for at in range(10):
        contact.seen(here_s=float(at), server_s=float(at))
    contact.seen(here_s=10.0, server_s=10.0 + jump_s)
    assert "clock jumped" in caplog.text
    assert not contact.long_enough(here_s=14.9)
    contact.seen(here_s=12.5, server_s=12.5 + jump_s)
    contact.seen(here_s=15.0, server_s=15.0 + jump_s)
    assert contact.long_enough(here_s=15.0), "the new time is as good as the old"


@pytest.mark.parametrize("drift_s", [1.9, -1.9, 0.0])
def test_a_slow_round_trip_is_no_jump(drift_s: float, caplog: pytest.LogCaptureFixture) -> None:
    contact = Contact(needed_s=5.0)
    contact.seen(here_s=0.0, server_s=0.0)
    contact.seen(here_s=2.5, server_s=2.5)
    contact.seen(here_s=5.0, server_s=5.0 + drift_s)
    assert contact.long_enough(here_s=5.0)
    assert caplog.records == [] or all(record.levelno < logging.WARNING for record in caplog.records)


def test_a_worker_that_was_frozen_for_a_lease_calls_nobody_dead_for_another() -> None:
    """Both clocks moved on, and the others may have been frozen with it: they must have time to beat."""
    contact = Contact(needed_s=5.0)
    contact.seen(here_s=0.0, server_s=100.0)
    contact.seen(here_s=2.5, server_s=102.5)
    contact.seen(here_s=5.0, server_s=105.0)
    assert contact.long_enough(here_s=5.0)
    contact.seen(here_s=65.0, server_s=165.0)
    assert not contact.long_enough(here_s=69.9)
    contact.seen(here_s=67.5, server_s=167.5)
    contact.seen(here_s=70.0, server_s=170.0)
    assert contact.long_enough(here_s=70.0)


@pytest.mark.parametrize("frozen_s", [5.1, 7.6, 9.9])
def test_a_machine_that_stood_still_for_most_of_a_lease_calls_nobody_dead(frozen_s: float) -> None:
    """The others' last beats may have been a quarter of a lease old before: together that is a whole one."""
    contact = Contact(needed_s=10.0)
    for at in range(20):
        contact.seen(here_s=float(at), server_s=float(at))
    assert contact.long_enough(here_s=19.0)
    contact.seen(here_s=19.0 + frozen_s, server_s=19.0 + frozen_s)
    assert not contact.long_enough(here_s=19.0 + frozen_s)


def test_a_clock_that_stood_still_with_the_machine_is_a_jump() -> None:
    """A monotonic clock may stop while the machine sleeps; Redis elsewhere went on, and so did the others' leases."""
    contact = Contact(needed_s=5.0)
    contact.seen(here_s=0.0, server_s=100.0)
    contact.seen(here_s=10.0, server_s=110.0)
    contact.seen(here_s=11.0, server_s=711.0)
    assert not contact.long_enough(here_s=11.0)


def test_a_worker_at_rest_beats_half_as_often_and_still_four_times_in_a_lease() -> None:
    usual = QueueSection(beat_s=1.0, lease_ttl_s=10.0)
    assert pause_s(usual, at_rest=False) == 1.0
    assert pause_s(usual, at_rest=True) == 2.0
    short = QueueSection(beat_s=1.0, lease_ttl_s=5.0)
    assert pause_s(short, at_rest=True) == 1.25
    shortest = QueueSection(beat_s=1.0, lease_ttl_s=3.0)
    assert pause_s(shortest, at_rest=True) == 1.0, "what its settings ask for holds"
