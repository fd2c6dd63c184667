"""What a worker may do at this moment by what its host's power room wrote, also when that was long ago. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from viiwork.jobs import Lane
from viiwork.powerfile import Order, PowerFile
from viiwork.recipes.cards import numbers
from viiwork.roster import HostWatts

NOT_WRITTEN = "the watts of this machine are not dealt out yet"
UNWATCHED = "nobody watches the power budget any more (does `viiwork up` run?)"


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for one worker."""

    takes: float = 1.0
    """The share of its slots up to which it may take jobs."""
    keeps: float = 1.0
    """The share up to which it may finish what it has; the rest goes back at once."""
    may_run: bool = True
    """Whether there are watts for its engine."""
    may_load: bool = True
    why: str = ""
    """For people; empty while nothing is held back."""
    lanes: frozenset[Lane] = frozenset(Lane)
    """Those that it may take from."""
    opens: Mapping[Lane, str] = field(default_factory=dict)
    """When each of the others is open again; an empty text if never."""
    power: HostWatts | None = None
    """What the host draws; None where watts are not dealt out, or nobody watches them any more."""


FREE = Standing()


def standing_of(told: PowerFile | None, *, worker: str, now_s: float) -> Standing:
    """What was told last holds while it is fresh.

    Where nobody has told anything, nothing is taken. Where it was told too long ago, nobody watches any more: with a
    budget nothing more is taken or loaded, since a driver that starts again forgets its caps, other hours may allow
    less, and a queue can wait where a breaker cannot; what runs is finished, for it fitted when it was looked at last.
    Without a budget no harm can come of going on: caps hold by themselves, and lanes as far as they were told.
    """
    if told is None:
        return Standing(takes=0.0, may_load=False, why=NOT_WRITTEN)
    unknown = Order(may_load=not (told.deals and numbers(worker)))
    order = told.workers.get(worker, unknown)
    share = order.share if order.may_run else 0.0
    age_s = now_s - told.at_s
    if 0.0 <= age_s <= told.believed_s:
        lanes, power = frozenset(told.lanes), _watts(told)
        return Standing(share, share, order.may_run, order.may_load, order.why, lanes, told.opens, power)
    if told.host_watts is not None:
        return Standing(0.0, share, may_run=order.may_run, may_load=False, why=UNWATCHED)
    over = told.until_s is not None and now_s > told.until_s
    lanes, opens = (frozenset(Lane), {}) if over else (frozenset(told.lanes), told.opens)
    return Standing(share, share, order.may_run, order.may_load, order.why, lanes, opens)


def _watts(told: PowerFile) -> HostWatts | None:
    if told.wall_w is None:
        return None
    hours = {"entry": told.entry, "until": told.until if told.entry else ""}
    return HostWatts(wall_w=told.wall_w, host_watts=told.host_watts, why=told.why, **hours)
