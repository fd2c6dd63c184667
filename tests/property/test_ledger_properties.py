"""Admission for every number of slots and whatever the lanes do: bounded, and nobody starves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.jobs import Lane
from viiwork_workers.ledger import Held, Ledger, may_take, reserve

limits = st.integers(0, 64)
moves = st.lists(st.tuples(st.sampled_from(["interactive", "batch", "end"]), st.integers(0, 63)), max_size=200)


@given(limits)
def test_the_reserve_is_never_negative_and_never_the_last_slot(limit: int) -> None:
    assert 0 <= reserve(limit) <= max(0, limit - 1)


@given(limits, moves, st.booleans())
def test_no_more_is_held_than_there_are_slots(limit: int, moves: list[tuple[str, int]], asks: bool) -> None:
    """And batch never takes the reserve."""
    ledger = Ledger(slots=limit)
    held: list[str] = []
    for number, (move, at) in enumerate(moves):
        if move == "end":
            if held:
                ledger.drop(held.pop(at % len(held)))
        elif may_take(Lane(move), ledger.held(batch_asks=asks), limit=limit):
            held.append(f"h{number}")
            ledger.add(held[-1], Lane(move))
        counts = ledger.held()
        assert counts.total <= limit
        assert counts.batch <= limit - reserve(limit)
    assert ledger.peak <= limit


@given(st.integers(1, 64), st.integers(0, 64), st.integers(0, 64), st.integers(0, 20), st.booleans())
def test_a_free_slot_is_open_to_somebody(limit: int, interactive: int, batch: int, streak: int, asks: bool) -> None:
    """Whatever is held, a free slot may be taken by one of the lanes: a worker never sits idle before full queues."""
    held = Held(interactive, batch, batch_asks=asks, streak=streak)
    lanes = [lane for lane in Lane if may_take(lane, held, limit=limit)]
    assert bool(lanes) == (held.total < limit)


@settings(max_examples=30)
@given(st.integers(1, 64))
def test_with_both_lanes_waiting_both_are_served(limit: int) -> None:
    """Slots end in the order in which they were taken; of a thousand each lane gets a slot's worth at least."""
    ledger, starts = Ledger(slots=limit), {Lane.INTERACTIVE: 0, Lane.BATCH: 0}
    held: list[str] = []
    for number in range(1000):
        for lane in Lane:
            if may_take(lane, ledger.held(), limit=limit):
                held.append(f"{lane}{number}")
                ledger.add(held[-1], lane)
                starts[lane] += 1
        ledger.drop(held.pop(0))
    assert min(starts.values()) >= 1000 // max(10, limit + 1)


@given(st.integers(2, 64), st.integers(0, 64))
def test_a_person_never_waits_behind_batch_for_a_slot_of_the_reserve(limit: int, batch: int) -> None:
    batch = min(batch, limit - reserve(limit))
    assert may_take(Lane.INTERACTIVE, Held(0, batch), limit=limit) or batch == 0
