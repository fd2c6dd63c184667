"""How long an engine that died waits before its next life."""

from __future__ import annotations

from viiwork_workers.engines.deaths import FIRST_PAUSE_S, LONGEST_PAUSE_S, MANY, QUICK_S, Deaths


def test_the_pause_doubles_with_each_quick_death_and_has_an_end() -> None:
    deaths, pauses = Deaths(), []
    for _ in range(2000):
        deaths = deaths.after(served_s=1.0)
        pauses.append(deaths.pause_s)
    assert pauses[:4] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert pauses[-1] == max(pauses) == LONGEST_PAUSE_S
    assert deaths.total == 2000


def test_an_engine_that_served_for_a_while_is_started_again_soon() -> None:
    deaths = Deaths()
    for _ in range(9):
        deaths = deaths.after(served_s=0.0)
    deaths = deaths.after(served_s=QUICK_S)
    assert (deaths.total, deaths.quick, deaths.pause_s) == (10, 1, FIRST_PAUSE_S)


def test_people_are_told_after_several_quick_deaths() -> None:
    deaths = Deaths()
    said = []
    for _ in range(MANY):
        deaths = deaths.after(served_s=0.0)
        said.append(deaths.state)
    assert said == ["restarting"] * (MANY - 1) + [f"restarting ({MANY} deaths)"]
