"""An engine hangs when requests ran for the whole time and nothing came of them; at no other time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from viiwork_workers.engines.guard.hang import Hang

HANG_S = 30.0
looks = st.lists(
    st.tuples(st.floats(0, 20, allow_nan=False), st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=40
)
"""Seconds since the look before, requests that run, and the count of what came."""


def followed(seen: list[tuple[float, int, int]]) -> list[tuple[float, int, int, bool]]:
    """Moment, requests, count and verdict of each look."""
    hang, now_s, told = Hang(HANG_S), 0.0, []
    for pause_s, running, progress in seen:
        now_s += pause_s
        hang = hang.after(now_s=now_s, running=running, progress=progress)
        told.append((now_s, running, progress, hang.hung(now_s)))
    return told


@given(looks)
def test_it_hangs_exactly_when_the_looks_of_that_long_saw_requests_and_no_change(
    seen: list[tuple[float, int, int]],
) -> None:
    """By the definition: back to the last idle look, change of the count, or the first look of all."""
    told = followed(seen)
    for at, (now_s, running, progress, hung) in enumerate(told):
        since_s = now_s
        for before_s, was_running, was_progress, _ in reversed(told[: at + 1]):
            if not was_running or was_progress != progress:
                break
            since_s = before_s
        assert hung == (running > 0 and now_s - since_s >= HANG_S)


@given(looks, st.integers(0, 3))
def test_an_idle_engine_never_hangs(seen: list[tuple[float, int, int]], progress: int) -> None:
    """However long nothing has come: nobody asked for it."""
    hang, now_s = Hang(HANG_S), 0.0
    for pause_s, _, count in seen:
        now_s += pause_s
        hang = hang.after(now_s=now_s, running=0, progress=count)
    assert not hang.hung(now_s + 1000 * HANG_S)


@given(looks)
def test_a_count_that_goes_down_was_begun_anew_and_is_progress(seen: list[tuple[float, int, int]]) -> None:
    """An engine that was started again counts from 0."""
    hang, now_s = Hang(HANG_S), 0.0
    for n, (pause_s, _, _) in enumerate(seen):
        now_s += pause_s
        hang = hang.after(now_s=now_s, running=1, progress=1_000_000 - n)
        assert not hang.hung(now_s)


def test_it_is_judged_between_looks_too() -> None:
    """Whoever waits for an answer need not look again to know."""
    hang = Hang(HANG_S).after(now_s=5, running=1, progress=7).after(now_s=10, running=3, progress=7)
    assert not hang.hung(34.9)
    assert hang.hung(35)
    assert not hang.after(now_s=35, running=1, progress=8).hung(35)
