"""What work that stands still waits for in the fleet, in the words that `viiwork status` has. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from viiwork import cardwords
from viiwork.cli.screen import one_line
from viiwork.heldback import closed_lane, memory_line
from viiwork.jobs import READER_MODEL, Lane
from viiwork.roster import FULL_FROM, FleetStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class Awaited:
    """What it is, in both forms empty where the fleet lacks nothing."""

    short: str = ""
    """Beside a bar: `waiting for its server`."""
    told: str = ""
    """The whole sentence."""


NOTHING = Awaited()


def awaited(fleet: FleetStatus, model: str, lane: Lane, *, reads: bool, now: datetime) -> Awaited:
    """Why nobody works on this model's jobs of this lane just now. `reads`: they are made of documents.

    A file of jobs may name several models, of which this is one: where none of its jobs is left it stops nobody.
    """
    left = {depth.model for depth in fleet.queues if depth.waiting or depth.queued or depth.running}
    if model not in left and not (reads and READER_MODEL in left):
        return NOTHING
    crew = [worker for worker in fleet.workers if worker.card.model == model]
    if not crew:
        return Awaited("no worker is up", f"No engine worker for the model {one_line(model)} is up: its jobs wait.")
    if fleet.memory is not None and fleet.memory.fraction >= FULL_FROM:
        return Awaited("Redis' memory is full", memory_line(fleet.memory))
    if reads and all(worker.card.model != READER_MODEL for worker in fleet.workers):
        return Awaited("no reader is up", "No reader is up: documents wait.")
    if closed := closed_lane(fleet, model, lane, now=now):
        return Awaited(f"the {lane.value} lane is closed", one_line(closed))
    reasons = {worker.card.name: why for worker in crew if (why := _stopped(worker))}
    return _of_all(model, reasons) if len(reasons) == len({worker.card.name for worker in crew}) else NOTHING


def kind_of(told: str) -> str:
    """The same for what differs in its figures alone: `loading (35 s)` is no news after `loading (25 s)`."""
    return re.sub(r"\d+", "", told)


def _stopped(worker: WorkerStatus) -> str:
    """Why it takes nothing at all; empty while it may."""
    card = worker.card
    if worker.quarantine or card.engine_state not in ("", "ready") or card.limit == 0:
        return one_line(next(iter(cardwords.brakes(worker)), ""))
    return ""


def _of_all(model: str, reasons: dict[str, str]) -> Awaited:
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(why, []).append(one_line(name))
    each = "; ".join(f"{', '.join(who)}: {why}" for why, who in names.items())
    stop = "" if each.endswith((".", "!", "?")) else "."
    return Awaited(_short(names), f"No worker takes jobs for {one_line(model)} now. {each}{stop}")


def _short(reasons: Iterable[str]) -> str:
    """What the reasons begin with, if all begin alike."""
    heads = {why.partition(":")[0] for why in reasons}
    return heads.pop() if len(heads) == 1 else "no worker takes jobs"
