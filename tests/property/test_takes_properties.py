"""How many hints may come at once: exactly as many as could have come one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from viiwork.jobs import Lane
from viiwork_workers.ledger import Held, Ledger, may_take
from viiwork_workers.takes import room

limits = st.integers(0, 64)
counts = st.integers(0, 64)


@given(st.sampled_from(list(Lane)), limits, st.lists(st.sampled_from(list(Lane)), max_size=64), st.booleans())
def test_room_is_what_one_by_one_would_take(lane: Lane, limit: int, taken: list[Lane], asks: bool) -> None:
    """The ledger itself is the judge: each of them may be taken after the ones before, and no further one."""
    ledger = Ledger(slots=limit)
    for number, of_lane in enumerate(taken):
        if may_take(of_lane, ledger.held(batch_asks=asks), limit=limit):
            ledger.add(f"h{number}", of_lane)
    for number in range(room(lane, ledger.held(batch_asks=asks), limit=limit)):
        assert may_take(lane, ledger.held(batch_asks=asks), limit=limit)
        ledger.add(f"more{number}", lane)
    assert not may_take(lane, ledger.held(batch_asks=asks), limit=limit)
    assert ledger.held().total <= limit


@given(st.sampled_from(list(Lane)), limits, counts, counts, st.integers(0, 20), st.booleans())
def test_room_never_goes_over_the_limit(
    lane: Lane, limit: int, interactive: int, batch: int, streak: int, asks: bool
) -> None:
    """Also when more is held than the limit, which was lowered meanwhile."""
    held = Held(interactive, batch, batch_asks=asks, streak=streak)
    assert 0 <= room(lane, held, limit=limit) <= max(0, limit - held.total)
