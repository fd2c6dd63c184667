"""When it is worth a trip to ask for more hints."""

from __future__ import annotations

from viiwork_workers.takes import LONGEST_PAUSE, PATIENCE_S, Hope, Manners


def asked(hope: Hope, *, times: int, brings: int) -> list[bool]:
    """Whether a trip was made, each time; every trip brings so many."""
    made = []
    for _ in range(times):
        made.append(hope.stands())
        if made[-1]:
            hope.learn(brought=brings)
    return made


def test_while_trips_bring_something_each_is_made() -> None:
    assert all(asked(Hope(), times=20, brings=3))


def test_where_hints_come_one_by_one_few_trips_are_made() -> None:
    """After an empty one, one is left out, then two, four, eight."""
    made = asked(Hope(), times=200, brings=0)
    assert made[:13] == [True, False, True, False, False, True, *[False] * 4, True, False, False]
    assert sum(made) <= 3 + 200 / LONGEST_PAUSE


def test_the_first_that_brings_something_ends_the_pause() -> None:
    hope = Hope()
    asked(hope, times=50, brings=0)
    while not hope.stands():
        pass
    hope.learn(brought=1)
    assert all(asked(hope, times=20, brings=1))


def test_a_worker_rests_once_for_others_that_take_nothing() -> None:
    """What they have not taken by then they do not want; a second later they may."""
    manners = Manners()
    asked_s = [10.0, 10.1, 10.0 + PATIENCE_S - 0.1, 10.0 + PATIENCE_S]
    assert [manners.rests(left=3, now_s=now_s) for now_s in asked_s] == [True, False, False, True]


def test_a_worker_rests_as_long_as_others_take_what_is_left() -> None:
    """Of 32 hints all took 8, and of four more each is to have one."""
    manners = Manners()
    assert [manners.rests(left=left, now_s=10.0) for left in (24, 3, 2, 0)] == [True, True, False, False]
