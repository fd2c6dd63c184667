"""Admission for every number of slots and whatever the lanes do: bounded, and nobody starves."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from viiwork.jobs import Lane
from viiwork_workers.ledger import BATCH_TURN, Held, Ledger, may_take, owner_of_last, reserve

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


@given(limits, st.integers(0, 64), st.integers(0, 64), st.integers(0, 20), st.booleans())
def test_a_closed_lane_takes_nothing_and_the_other_has_all_slots(
    limit: int, interactive: int, batch: int, streak: int, asks: bool
) -> None:
    held = Held(interactive, batch, batch_asks=asks, streak=streak)
    for lane, other in ((Lane.INTERACTIVE, Lane.BATCH), (Lane.BATCH, Lane.INTERACTIVE)):
        closed = frozenset({lane})
        assert not may_take(lane, held, limit=limit, closed=closed)
        assert may_take(other, held, limit=limit, closed=closed) == (held.total < limit)
        assert owner_of_last(held, limit=limit, closed=closed) in (None, other)
    assert not any(may_take(lane, held, limit=limit, closed=frozenset(Lane)) for lane in Lane)


class Hub:
    """What the worker's hub does with two queues: it asks for people first, and an ask of an empty queue stays open.

    `starts` are the lanes of the jobs that it took, in order, each with whether batch work waited just before.
    """

    def __init__(self, slots: int) -> None:
        self.ledger = Ledger(slots)
        self.waiting = dict.fromkeys(Lane, 0)
        self.asks = dict.fromkeys(Lane, False)
        self.held: list[str] = []
        self.starts: list[tuple[Lane, bool]] = []
        self.taken = 0

    def turn(self) -> None:
        """Ask for all that may be taken."""
        moved = True
        while moved:
            moved = any(self._ask(lane) for lane in (Lane.INTERACTIVE, Lane.BATCH))

    def arrive(self, lane: Lane) -> None:
        """A hint comes to a queue; an open ask gets it, and gives it back for which there is no room any more."""
        self.waiting[lane] += 1
        if self.asks[lane]:
            self.asks[lane] = False
            held = self.ledger.held()
            owner = owner_of_last(held, limit=self.ledger.limit) or lane
            if held.total < self.ledger.limit and (owner is lane or not self.waiting[owner]):
                self.waiting[lane] -= 1
                self._take(lane)

    def end(self, at: int) -> None:
        """One of the jobs in hand ends."""
        if self.held:
            self.ledger.drop(self.held.pop(at % len(self.held)))

    def may_take(self, lane: Lane) -> bool:
        return may_take(lane, self.ledger.held(batch_asks=self.asks[Lane.BATCH]), limit=self.ledger.limit)

    def _ask(self, lane: Lane) -> bool:
        if self.asks[lane] or not self.may_take(lane):
            return False
        if self.waiting[lane] == 0:
            self.asks[lane] = True
            return True
        self._check(lane)
        self.starts.append((lane, self.waiting[Lane.BATCH] > 0))
        self.waiting[lane] -= 1
        self._take(lane)
        return True

    def _check(self, lane: Lane) -> None:
        """What must hold for every job that is taken from a queue in which it waited: decision by decision."""
        held, limit = self.ledger.held(), self.ledger.limit
        assert held.total < limit
        if lane is Lane.BATCH:
            assert held.batch < limit - reserve(limit)
        elif self.waiting[Lane.BATCH] and limit >= 2:
            assert held.batch > 0 or held.total < limit - 1, "a person took the slot that batch waits for"

    def _take(self, lane: Lane) -> None:
        self.taken += 1
        self.held.append(f"{lane.value}{self.taken}")
        self.ledger.add(self.held[-1], lane)


events = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.sampled_from(list(Lane))),
        st.tuples(st.just("end"), st.integers(0, 63)),
        st.tuples(st.just("limit"), st.integers(0, 16)),
    ),
    max_size=150,
)


@given(st.integers(1, 16), events)
def test_whatever_comes_ends_or_changes_the_slots_are_kept_as_they_should(
    slots: int, events: list[tuple[str, Any]]
) -> None:
    """`Hub` checks every start; beyond the limit is only what was held when it was lowered."""
    hub = Hub(slots)
    highest = slots
    for what, value in events:
        match what:
            case "arrive":
                hub.arrive(value)
            case "end":
                hub.end(value)
            case "limit":
                hub.ledger.limit = min(value, slots)
        hub.turn()
        highest = max(hub.ledger.limit, min(highest, hub.ledger.held().total))
        assert hub.ledger.held().total <= highest
        free = hub.ledger.held().total < hub.ledger.limit
        assert not (free and all(hub.waiting.values())), "a slot stands empty while both lanes wait"


@settings(max_examples=60)
@given(st.integers(1, 64), st.data())
def test_neither_lane_starves_in_whatever_order_jobs_come_and_end(limit: int, data: st.DataObject) -> None:
    """Each lane always has something waiting, and no job outlives 2 x limit others: nobody waits for ever."""
    hub, age = Hub(64), dict[str, int]()
    hub.ledger.limit = limit
    rounds = 12 * limit + 20
    ends = data.draw(st.lists(st.integers(0, 63), min_size=rounds, max_size=rounds))
    first = data.draw(st.lists(st.sampled_from(list(Lane)), min_size=1, max_size=4))
    for end in ends:
        for lane in (*first, *Lane):
            hub.arrive(lane)
        hub.turn()
        for job in hub.held:
            age[job] = age.get(job, 0) + 1
        oldest = max(range(len(hub.held)), key=lambda at: age[hub.held[at]])
        hub.end(oldest if age[hub.held[oldest]] > 2 * limit else end)
    patience = BATCH_TURN + 1 if limit == 1 else 4 * limit
    for lane in Lane:
        assert longest_wait([of_lane for of_lane, _ in hub.starts], lane) <= patience


@given(st.integers(2, 64), st.integers(1, 200))
def test_people_who_come_without_end_leave_batch_one_slot(limit: int, people: int) -> None:
    """However short their jobs are: the slot that batch keeps is filled again as soon as its job has ended."""
    hub = Hub(limit)
    for _ in range(people + limit):
        hub.arrive(Lane.INTERACTIVE)
        hub.arrive(Lane.BATCH)
    hub.turn()
    for _ in range(people):
        hub.end(0)
        hub.turn()
        assert hub.ledger.held().batch >= 1


def test_with_a_limit_of_nought_nothing_is_taken_and_what_runs_goes_on() -> None:
    hub = Hub(4)
    for lane in (Lane.BATCH, Lane.BATCH, Lane.INTERACTIVE):
        hub.waiting[lane] += 1
    hub.turn()
    hub.ledger.limit = 0
    assert not any(hub.may_take(lane) for lane in Lane)
    assert hub.ledger.held().total == 3


def longest_wait(starts: list[Lane], lane: Lane) -> int:
    """How many jobs of the other lane began, at most, between two of this one."""
    longest = run = 0
    for of_lane in starts:
        run = 0 if of_lane is lane else run + 1
        longest = max(longest, run)
    return longest
