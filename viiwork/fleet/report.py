"""What the supervisor tells people and programs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from viiwork.statedir import Record

SECONDS = re.compile(r" \(\d+ s\)")
"""Of `gpu0: loading (35 s)`, in what is told while a fleet starts: a model that loads for minutes is no news."""


class ProcessReport(Record):
    """What runs where: one row of the table that `up` prints."""

    name: str
    role: str
    pid: int
    state: str
    engine: str = ""
    model: str = ""
    slots: int = 0
    address: str = ""
    log: str = ""


class FleetReport(Record):
    """The fleet once it is ready."""

    fleet: str
    state_dir: str
    pid: int
    """Of the supervisor."""
    api_url: str
    flower_url: str = ""
    flower_user: str = ""
    flower_password_file: str = ""
    processes: tuple[ProcessReport, ...] = ()


class FaultReport(Record):
    """Why the fleet did not start, or ended; `kind` is the error's class."""

    kind: str
    message: str
    hint: str = ""


EventKind = Literal["progress", "notice", "ready", "failed"]


class Event(Record):
    """One thing that happened. `progress` replaces the line before it; `notice` stays."""

    kind: EventKind
    text: str = ""
    fleet: FleetReport | None = None
    fault: FaultReport | None = None


Report = Callable[[Event], None]
