"""Whether an engine that fell may be started again now, by what the host's power room wrote. Pure."""

from __future__ import annotations

from viiwork.power.standing import standing_of
from viiwork.powerfile import PowerFile


def may_begin_again(told: PowerFile | None, *, worker: str, fell_s: float, now_s: float) -> bool:
    """Once it is let load after it fell; at once where nobody deals turns out, and where that is too long ago by what
    was told last. Moments are of the host's monotonic clock.
    """
    if told is None:
        return True
    if not standing_of(told, worker=worker, now_s=now_s).may_load:
        return False
    order = told.workers.get(worker)
    fresh = 0.0 <= now_s - told.at_s <= told.believed_s
    return not fresh or order is None or order.let_s is None or order.let_s > fell_s
