"""Each job's energy at its end, in constant time: the same as adding up sample by sample."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from viiwork.power.energy import NOBODY, Account, Energy, Sample, total
from viiwork.power.tally import Flight, Tally

GAP_S = 15.0


def test_a_moments_power_is_the_jobs_in_flight_at_that_moment_by_their_tokens() -> None:
    tally = Tally()
    tally.look([200.0], 0.0)
    first = tally.begin(300, 1.0)
    second = tally.begin(100, 2.0)
    ended = tally.end(first, 4.0), tally.end(second, 5.0)
    assert [used.known_j for used in ended] == pytest.approx([200 + 300, 100 + 200])
    assert [used.known_s for used in ended] == pytest.approx([2.5, 1.5])
    tally.look([20.0], 6.0)
    assert tally.idle == Energy(400, 2)


def test_power_holds_until_the_next_look_so_that_an_end_need_not_wait_for_it() -> None:
    tally = Tally()
    tally.look([250.0], 0.0)
    job = tally.begin(1, 0.0)
    tally.look([150.0], 1.0)
    assert tally.end(job, 1.5) == Energy(250 + 75, 1.5)


def test_a_group_uses_what_all_its_cards_use_and_one_that_tells_nothing_is_not_zero() -> None:
    tally = Tally()
    tally.look([100.0, 200.0, None], 0.0)
    used = tally.end(tally.begin(1, 0.0), 2.0)
    assert used == Energy(600, 4, 2)
    assert tally.unmeasured_s == 2


def test_a_look_holds_for_so_long_and_then_nothing_is_known() -> None:
    tally = Tally(longest_gap_s=GAP_S)
    tally.look([100.0], 0.0)
    assert tally.end(tally.begin(1, 0.0), 20.0) == Energy(1500, 15, 5)


def test_cards_that_cannot_be_looked_at_any_more_are_still_there() -> None:
    tally = Tally()
    tally.look([100.0, 100.0], 0.0)
    tally.look([], 1.0)
    assert tally.end(tally.begin(1, 1.0), 2.0) == Energy(0, 0, 2)


def test_without_cards_and_before_the_first_look_nothing_is_known() -> None:
    tally = Tally()
    early = tally.begin(5, 100.0)
    assert tally.end(early, 130.0).joules is None
    assert (tally.idle, tally.unmeasured_s) == (Energy(), 0.0)


def test_a_look_that_was_stamped_before_the_last_change_counts_from_that_change() -> None:
    """It comes from another thread."""
    tally = Tally()
    tally.look([100.0], 0.0)
    job = tally.begin(1, 2.0)
    tally.look([200.0], 1.9)
    assert tally.end(job, 3.0) == Energy(200, 1)


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.one_of(
            st.lists(st.one_of(st.none(), st.floats(0, 400)), min_size=2, max_size=2),  # a look at two cards
            st.tuples(st.sampled_from("abcdef"), st.integers(0, 100_000)),  # a job begins, or ends if it is there
        ),
    ),
    min_size=1,
    max_size=40,
)


@given(EVENTS)
def test_jobs_that_come_and_go_and_idle_together_are_the_integral(
    events: list[tuple[float, list[float | None] | tuple[str, int]]],
) -> None:
    """Also where looks miss; and each job has what adding up sample by sample gives it."""
    tally, accounts = Tally(longest_gap_s=GAP_S), [Account(longest_gap_s=1e9), Account(longest_gap_s=1e9)]
    flights: dict[str, Flight] = {}
    names: dict[str, str] = {}
    held: list[float | None] = [100.0, 50.0]
    now_s = looked_s = 5.0
    tally.look(held, now_s)
    ended: dict[str, Energy] = {}
    truth_j = 0.0

    def sample(at_s: float, watts: list[float | None]) -> None:
        tokens = {names[each]: float(flight.tokens) for each, flight in flights.items()}
        for account, power in zip(accounts, watts, strict=True):
            account.add(Sample(at_s, power, tokens))

    sample(now_s, held)
    for pause_s, event in events:
        until_s = now_s + pause_s
        stale_s = min(max(looked_s + GAP_S, now_s), until_s)
        truth_j += sum(watts or 0.0 for watts in held) * (stale_s - now_s)
        sample(stale_s, held)
        sample(stale_s, held if stale_s < looked_s + GAP_S else [None, None])
        sample(until_s, held if until_s <= looked_s + GAP_S else [None, None])
        now_s = until_s
        if isinstance(event, list):
            held, looked_s = event, now_s
            tally.look(held, now_s)
            sample(now_s, held)
        elif event[0] in flights:
            ended[names[event[0]]] = tally.end(flights.pop(event[0]), now_s)
        else:
            names[event[0]] = f"{event[0]}{len(names)}{now_s}"
            flights[event[0]] = tally.begin(event[1], now_s)
    for each, flight in flights.items():
        ended[names[each]] = tally.end(flight, now_s)
    whole = total([*ended.values(), tally.idle])
    assert whole.known_j == pytest.approx(truth_j, rel=1e-6, abs=1e-6)
    assert whole.known_s + whole.unknown_s == pytest.approx(2 * (now_s - 5.0), rel=1e-6, abs=1e-6)
    for job, energy in ended.items():
        by_samples = total(account.rows.get(job, Energy()) for account in accounts)
        assert energy.known_j == pytest.approx(by_samples.known_j, rel=1e-6, abs=1e-4)
    idle = total(account.rows.get(NOBODY, Energy()) for account in accounts)
    assert tally.idle.known_j == pytest.approx(idle.known_j, rel=1e-6, abs=1e-4)


def test_a_hundred_thousand_jobs_lose_nothing_to_rounding() -> None:
    """Some are always in flight, so that the sums are never set back."""
    tally, given = Tally(), 0.0
    tally.look([250.0], 0.0)
    flight = tally.begin(1000, 0.0)
    for at in range(1, 100_001):
        if at % 10 == 0:
            tally.look([250.0], at * 0.1)
        following = tally.begin(1000 + at % 7, at * 0.1)
        given += tally.end(flight, at * 0.1).known_j
        flight = following
    assert given == pytest.approx(250 * 10_000, rel=1e-9)
