"""The second hand of a run: looks at the fleet, renews the lease and keeps work coming, until a figure counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

from viiwork.client import Client
from viiwork.jobs import Lane
from viiwork.rig.crew import SUBMITTER
from viiwork.rig.lease import Lease
from viiwork.rig.load import Load
from viiwork.rig.looks import Look, Window, look_at, window
from viiwork.rig.size import Size
from viiwork.rig.wording import Wording
from viiwork.roster import FleetStatus
from viiwork.work import Usage

LOOK_S = 1.0
STEADY = 3
"""Looks in a row at which no more were in flight than before: then it is as full as it gets."""
PACE_LOOKS = 10
HEARD_S = 30.0
"""Workers hear with a beat who is held, and finish what they have; one that takes longer is measured as it is."""
LEFTOVERS_S = 120.0

Told = Callable[[str], None]
"""Hears what is being measured, about once a second."""


class Pulse:
    """One model's, under one lease. Not for several threads."""

    def __init__(self, client: Client, lease: Lease, *, model: str, told: Told) -> None:
        self._client, self._lease, self._model, self.told = client, lease, model, told
        self._numbers = count(1)
        self._load: Load | None = None
        self._lane = Lane.INTERACTIVE
        self._look_s = LOOK_S
        self._next_s = 0.0
        self._recent: deque[Look] = deque(maxlen=PACE_LOOKS)
        self.doing = ""
        """What is being measured, for people."""
        self.usages: list[Usage] = []
        """Tokens of some of the answers so far."""
        self.failed = 0
        """Jobs that came to nothing."""
        self.busy: FleetStatus | None = None
        """The fleet as it was last seen at work: cards tell other clocks while they rest."""

    def wait_for_leftovers(self) -> None:
        """A run that was killed leaves some seconds of work; with this one's lease there is no other run."""
        until_s = time.monotonic() + LEFTOVERS_S
        while time.monotonic() < until_s:
            self._lease.renew()
            if not any(load.unfinished for load in self._client.fleet().tenants if load.tenant == SUBMITTER):
                return
            self.told("waiting for what an earlier run left")
            time.sleep(LOOK_S)

    @contextmanager
    def loaded(self, wording: Wording, lane: Lane) -> Iterator[None]:
        """Work in this lane that never runs out; what is left of it is cancelled."""
        self._lane = lane
        self._recent.clear()
        load = Load(self._client, wording, model=self._model, lane=lane, numbers=self._numbers, usages=self.usages)
        self._load = load
        try:
            yield
        finally:
            self._load = None
            load.stop()
            self.failed += load.failed

    def sample(self) -> None:
        """Look at the tokens of some more answers."""
        if self._load is not None:
            self._load.sample()

    def settle(self, size: Size, names: Sequence[str], *, at_most: Mapping[str, int], loaded: bool = True) -> None:
        """Hold who is not measured, and wait until the others are as full as they get and one wave has passed."""
        self._look_s = min(LOOK_S, size.window_s / 4)
        self._lease.hold(at_most)
        until_s = time.monotonic() + HEARD_S + size.settle_s
        while not _heard(look := self.tick(), names, at_most) and time.monotonic() < until_s:
            pass
        if not loaded:
            return
        until_s = time.monotonic() + size.settle_s
        most, steady = 0, 0
        while steady < STEADY and time.monotonic() < until_s:
            look = self.tick()
            flying = look.in_flight(names)
            steady = steady + 1 if 0 < flying <= most and look.waiting else 0
            most = max(most, flying)
        first = look.settled
        while look.settled - first < most and time.monotonic() < until_s:
            look = self.tick()

    def window(self, size: Size, names: Sequence[str]) -> tuple[Window, float, float]:
        """What these workers do while it lasts, and when it began and ended."""
        looks = [self.tick()]
        while looks[-1].at_s - looks[0].at_s < size.window_s:
            looks.append(self.tick())
        return window(looks, names), looks[0].at_s, looks[-1].at_s

    def tick(self) -> Look:
        """At the next moment to look: renew the lease, look, and send more work where it runs low."""
        time.sleep(max(0.0, self._next_s - time.monotonic()))
        self._next_s = max(self._next_s + self._look_s, time.monotonic())
        self._lease.renew()
        if self._load is not None:
            self._load.look()
        settled = self._load.settled if self._load is not None else 0
        status = self._client.fleet()
        if self._load is not None:
            self.busy = status
        now_s = time.monotonic()
        look = look_at(status, now_s=now_s, model=self._model, lane=self._lane, ours=SUBMITTER, settled=settled)
        self._recent.append(look)
        if self._load is not None:
            slots = sum(beat.limit for beat in look.beats.values())
            self._load.top_up(waiting=look.waiting, slots=max(1, slots), jobs_per_s=self._pace())
        self.told(self.doing)
        return look

    def _pace(self) -> float:
        first, last = self._recent[0], self._recent[-1]
        return (last.settled - first.settled) / (last.at_s - first.at_s) if last.at_s > first.at_s else 0.0


def _heard(look: Look, names: Sequence[str], at_most: Mapping[str, int]) -> bool:
    """Whether every worker goes by what it was told, and has ended what it has beyond that."""
    beats = [(look.beats[name], most) for name, most in at_most.items() if name in look.beats]
    freed = [look.beats[name] for name in names if name in look.beats and name not in at_most]
    return all(beat.limit <= most and beat.in_flight <= most for beat, most in beats) and all(
        beat.limit > 0 for beat in freed
    )
