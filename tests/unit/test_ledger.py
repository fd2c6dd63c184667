"""Admission: which lane may take one more job, and what is in a worker's hands."""

from __future__ import annotations

import threading

import pytest

from viiwork.jobs import Lane
from viiwork_workers.ledger import BATCH_TURN, Held, Ledger, may_take, reserve


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1), (7, 1), (8, 2), (32, 8), (100, 25)]
)
def test_a_quarter_of_the_slots_is_kept_for_people(limit: int, kept: int) -> None:
    """At least one where there are two, and never the last."""
    assert reserve(limit) == kept


@pytest.mark.parametrize(
    ("held", "limit", "interactive", "batch"),
    [
        (Held(0, 0), 1, True, True),
        (Held(1, 0), 1, False, False),
        (Held(0, 1), 1, False, False),
        (Held(0, 0), 8, True, True),
        (Held(0, 5), 8, True, True),
        (Held(0, 6), 8, True, False),
        (Held(1, 6), 8, True, False),
        (Held(2, 6), 8, False, False),
        (Held(6, 0), 8, True, True),
        (Held(7, 0), 8, False, True),
        (Held(7, 0, batch_asks=True), 8, True, True),
        (Held(8, 0), 8, False, False),
        (Held(6, 1), 8, True, True),
        (Held(9, 0), 8, False, False),
        (Held(0, 0), 0, False, False),
    ],
)
def test_who_may_take_one_more(held: Held, limit: int, interactive: bool, batch: bool) -> None:
    """People may take all slots but one, which is batch's while batch work waits; batch leaves them a quarter."""
    assert may_take(Lane.INTERACTIVE, held, limit=limit) is interactive
    assert may_take(Lane.BATCH, held, limit=limit) is batch


def test_with_one_slot_batch_gets_every_eighth_start_while_it_waits() -> None:
    """And people go on when nothing waits in batch."""
    assert may_take(Lane.INTERACTIVE, Held(0, 0, streak=BATCH_TURN - 1), limit=1)
    assert not may_take(Lane.INTERACTIVE, Held(0, 0, streak=BATCH_TURN), limit=1)
    assert may_take(Lane.INTERACTIVE, Held(0, 0, batch_asks=True, streak=BATCH_TURN), limit=1)
    assert may_take(Lane.BATCH, Held(0, 0, streak=BATCH_TURN), limit=1)


def test_a_single_slot_under_both_lanes_turns_after_seven() -> None:
    ledger, order = Ledger(slots=1), []
    for n in range(24):
        lane = Lane.INTERACTIVE if may_take(Lane.INTERACTIVE, ledger.held(), limit=1) else Lane.BATCH
        ledger.add(f"h{n}", lane)
        ledger.drop(f"h{n}")
        order.append(lane)
    assert [at for at, lane in enumerate(order) if lane is Lane.BATCH] == [7, 15, 23]


def test_the_ledger_counts_by_lane() -> None:
    ledger = Ledger(slots=4)
    ledger.add("a", Lane.INTERACTIVE)
    ledger.add("b", Lane.BATCH)
    ledger.add("c", Lane.BATCH)
    assert ledger.held(batch_asks=True) == Held(interactive=1, batch=2, batch_asks=True, streak=0)
    assert ledger.counts() == {Lane.INTERACTIVE: 1, Lane.BATCH: 2}
    ledger.drop("b")
    assert ledger.counts() == {Lane.INTERACTIVE: 1, Lane.BATCH: 1}
    assert ledger.peak == 3


def test_a_hint_counts_once_however_often_it_is_added_or_dropped() -> None:
    """Transport and pipeline both say when it ends."""
    ledger = Ledger(slots=4)
    for _ in range(2):
        ledger.add("a", Lane.BATCH)
    for _ in range(3):
        ledger.drop("a")
    ledger.drop("never seen")
    assert ledger.held().total == 0


def test_a_batch_start_ends_the_interactive_streak() -> None:
    ledger = Ledger(slots=9)
    for n in range(3):
        ledger.add(f"i{n}", Lane.INTERACTIVE)
    assert ledger.held().streak == 3
    ledger.add("b", Lane.BATCH)
    assert ledger.held().streak == 0


def test_two_threads_may_write_while_a_third_counts() -> None:
    """The hub adds, the engine's loop drops, the beats count."""
    ledger, stop, wrong = Ledger(slots=8), threading.Event(), []

    def count() -> None:
        while not stop.is_set():
            held = ledger.held()
            if held.interactive < 0 or held.batch < 0:
                wrong.append(held)

    def churn(name: str, lane: Lane) -> None:
        for n in range(3000):
            ledger.add(f"{name}{n}", lane)
            ledger.drop(f"{name}{n}")

    counter = threading.Thread(target=count)
    writers = [threading.Thread(target=churn, args=(lane.value, lane)) for lane in Lane]
    for thread in (counter, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    counter.join()
    assert wrong == []
    assert ledger.held().total == 0
