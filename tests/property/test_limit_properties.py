"""The limit of a worker: whatever it sees it stays between one and its slots, and it finds what its engine can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from viiwork_workers.limit import FULL_KV, PATIENCE, SHRINK, Limit, Look

looks = st.builds(
    Look,
    running=st.integers(0, 100),
    waiting=st.integers(0, 100),
    kv_use=st.floats(0.0, 1.0),
    preemptions=st.integers(0, 5),
    quick_faults=st.integers(0, 5),
)


@given(st.integers(1, 64), st.lists(looks, max_size=100))
def test_it_is_never_over_the_slots_and_never_under_one(slots: int, seen: list[Look]) -> None:
    """Also for an engine that talks nonsense."""
    limit = Limit.of(slots)
    for look in seen:
        before = limit.value
        limit = limit.after(look)
        assert 1 <= limit.value <= slots
        assert limit.value <= before + 1


@given(st.integers(1, 64), st.lists(looks, max_size=50), st.integers(0, 64))
def test_a_calm_engine_gets_all_its_slots_back(slots: int, seen: list[Look], running: int) -> None:
    """One more at each look, whatever was before; idle or not."""
    limit = Limit.of(slots)
    for look in seen:
        limit = limit.after(look)
    for _ in range(slots):
        limit = limit.after(Look(running=min(running, limit.value), kv_use=0.5))
    assert limit.value == slots


@given(st.integers(2, 64), st.data())
def test_it_finds_how_many_an_engine_has_room_for(slots: int, data: st.DataObject) -> None:
    """All the others wait inside the engine: the limit settles around what runs, and stays there."""
    room = data.draw(st.integers(1, slots))
    limit = Limit.of(slots)
    settled: list[int] = []
    for turn in range(100):
        limit = limit.after(Look(running=min(limit.value, room), waiting=max(0, limit.value - room)))
        settled += [limit.value] if turn >= 50 else []
    assert room <= min(slots, max(settled)) <= room + 1
    assert min(settled) >= room * SHRINK - 1


@given(st.integers(4, 64), st.data())
def test_it_finds_how_many_an_engine_has_memory_for(slots: int, data: st.DataObject) -> None:
    """The cache fills with what is in flight: up to the brim, down by a third, and up again."""
    room = data.draw(st.integers(4, slots))
    limit = Limit.of(slots)
    settled: list[int] = []
    for turn in range(150):
        limit = limit.after(Look(running=limit.value, kv_use=min(1.0, FULL_KV * limit.value / room)))
        settled += [limit.value] if turn >= 50 else []
    assert max(settled) <= room + 1
    assert min(settled) >= int(SHRINK * room) - 1
    assert sum(settled) / len(settled) >= 0.8 * room - 1


@given(st.integers(2, 64), st.integers(1, 10))
def test_it_falls_once_for_what_was_running_before(slots: int, later: int) -> None:
    """Jobs go on for minutes: their pressure after a decrease is the same pressure, not a new one."""
    limit = Limit.of(slots).after(Look(running=slots, preemptions=3))
    assert limit.value == max(1, int(slots * SHRINK))
    for _ in range(later):
        assert limit.after(Look(running=slots, kv_use=1.0, preemptions=1)).value == limit.value


@given(st.integers(2, 64), st.integers(1, 30))
def test_requests_that_wait_for_a_moment_cost_nothing(slots: int, waiting: int) -> None:
    """A step that is under way makes every newcomer wait."""
    limit, waiting = Limit.of(slots), min(waiting, slots)
    for _ in range(10):
        for _ in range(PATIENCE - 1):
            limit = limit.after(Look(running=slots - waiting, waiting=waiting))
        limit = limit.after(Look(running=slots))
    assert limit.value == slots


@given(st.integers(1, 64))
def test_an_engine_that_fails_everything_at_once_gets_one_job_at_a_time(slots: int) -> None:
    """It would eat the whole queue otherwise."""
    limit = Limit.of(slots)
    for _ in range(20):
        limit = limit.after(Look(quick_faults=7))
    assert limit.value == 1
