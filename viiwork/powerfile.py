"""`power.json` of a state directory: what its power room lets each worker of this host do, anew in every period.

Written whole by one process, read by its workers and by people. Moments are those of the host's monotonic clock, which
all its processes share, so that nobody takes a file of before the host's last start for a new one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from viiwork.jobs import Lane
from viiwork.wire import Wire

NAME = "power.json"


class Order(Wire):
    """What one worker may do."""

    may_run: bool = True
    """Whether there are watts for its engine."""
    may_load: bool = True
    """Whether its engine may begin now, or has begun: its cards' caps hold, and it is its turn."""
    let_s: float | None = None
    """Since when: an engine that fell after that moment has to wait for the next."""
    share: float = Field(default=1.0, ge=0.0, le=1.0)
    """Of its slots. What it has in hand beyond that is given back at once."""
    why: str = ""
    """For people: why that is less than all; empty while it is not."""


class PowerFile(Wire):
    """One period of a host."""

    at_s: float
    """When it was written."""
    believed_s: float
    """For how long it is to be believed: whoever writes it has died otherwise, or is stuck."""
    period: int = 0
    """Counts from 1 on."""
    entry: str = ""
    """The hours of the schedule's entry that holds, `22:00-07:00`; empty while none does."""
    until: str = ""
    """When something else will hold, as `2026-11-22T07:00+01:00`; empty: never."""
    until_s: float | None = None
    """The same on the host's monotonic clock."""
    lanes: tuple[Lane, ...] = tuple(Lane)
    """Those that work is taken from."""
    opens: dict[Lane, str] = Field(default_factory=dict)
    """When each of the others is open again; empty if it never will be."""
    host_watts: float | None = None
    """At the wall; None: no budget."""
    wall_w: float | None = None
    """What the machine draws there, reckoned from its cards."""
    room_w: float | None = None
    """What the budget leaves the cards of this fleet."""
    drawn_w: float | None = None
    """What they drew when they were looked at last; those that do not tell count with their caps."""
    over_w: float = 0.0
    """By how much that was too much."""
    caps: dict[str, float] = Field(default_factory=dict)
    """Watts by card, as they are to hold now."""
    wrote: dict[str, float] = Field(default_factory=dict)
    """Those that were written last, or are just being written: also of cards that the fleet has left since."""
    before: dict[str, float] = Field(default_factory=dict)
    """The caps that the cards had before this fleet wrote any: what they get back in the end."""
    devices: str = ""
    """The setting that found these cards: whoever gives the caps back may have other settings."""
    why: str = ""
    """For people: what had to be taken away; empty while nothing had."""
    deals: bool = False
    """Whether watts are dealt out: a worker with cards that is not named yet has to wait then."""
    workers: dict[str, Order] = Field(default_factory=dict)
    """By name: `gpu0`."""


def power_file(state_dir: Path) -> Path:
    """Where it lies."""
    return state_dir / NAME


def read_power(state_dir: Path) -> PowerFile | None:
    """What was written last; None where nothing was, or nothing that can be read."""
    with suppress(OSError, ValidationError):
        return PowerFile.model_validate_json(power_file(state_dir).read_bytes())
    return None


def write_power(state_dir: Path, told: PowerFile) -> None:
    """Put it in the place of the one before, in one step. Raises OSError."""
    fresh = power_file(state_dir).with_name(f".{NAME}.{os.getpid()}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(told.model_dump_json(exclude_defaults=True) + "\n")
        fresh.replace(power_file(state_dir))
    finally:
        fresh.unlink(missing_ok=True)


def remove_power(state_dir: Path) -> None:
    """Nobody rules here any more."""
    with suppress(OSError):
        power_file(state_dir).unlink(missing_ok=True)
